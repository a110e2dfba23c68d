// A careful Go: net/http, a pool of pgx that prepares each statement once, the session read on each
// request, one statement for the work. Its tables are ours, with the same columns and constraints,
// and a column of words for search. It writes no log and has no limits, keys, trash or events: see
// docs/performance.md.
package main

import (
	"context"
	"errors"
	"log"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v4"
	"github.com/jackc/pgx/v4/pgxpool"
)

const prefix = "/api/v1"

type server struct {
	pool *pgxpool.Pool
	key  []byte
}

type user struct {
	id       int64
	isAdmin  bool
	timeZone string
}

// A refusal is what is wrong with a request.
type refusal struct {
	status int
	title  string
}

func (r refusal) Error() string { return r.title }

var (
	unauthorized = refusal{401, "The access token is not valid"}
	notFound     = refusal{404, "There is no such task"}
)

const sessionOf = `SELECT users.id, users.role = 'admin', users.time_zone
FROM sessions JOIN users ON users.id = user_id
WHERE sessions.id = $1 AND expires_at > now() AND is_active`

// Who asks: the token says which session, the database whether it lasts and what its user may do.
func (s *server) userOf(r *http.Request) (user, error) {
	var who user
	claims, ok := verified(s.key, strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
	if !ok {
		return who, unauthorized
	}
	row := s.pool.QueryRow(r.Context(), sessionOf, claims.Sid)
	err := row.Scan(&who.id, &who.isAdmin, &who.timeZone)
	if errors.Is(err, pgx.ErrNoRows) || (err == nil && strconv.FormatInt(who.id, 10) != claims.Sub) {
		return who, unauthorized
	}
	return who, err
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := s.respond(w, r); err != nil {
		var refused refusal
		if !errors.As(err, &refused) {
			log.Print(err)
			refused = refusal{500, "Internal Server Error"}
		}
		w.Header().Set("Content-Type", "application/problem+json")
		write(w, refused.status, map[string]any{"status": refused.status, "title": refused.title})
	}
}

func (s *server) respond(w http.ResponseWriter, r *http.Request) error {
	who, err := s.userOf(r)
	if err != nil {
		return err
	}
	path := strings.TrimPrefix(r.URL.Path, prefix)
	switch path + " " + r.Method {
	case "/tasks GET":
		return s.list(w, r, who)
	case "/tasks POST":
		return s.create(w, r, who)
	case "/changes GET":
		return s.changes(w, r, who)
	}
	id, err := strconv.ParseInt(strings.TrimPrefix(path, "/tasks/"), 10, 64)
	if err != nil || id < 1 {
		return notFound
	}
	switch r.Method {
	case "GET":
		return s.get(w, r, who, id)
	case "PUT":
		return s.edit(w, r, who, id)
	case "DELETE":
		return s.delete(w, r, who, id)
	}
	return refusal{405, "Method Not Allowed"}
}

func main() {
	config, err := pgxpool.ParseConfig("") // from PGHOST and its like
	if err != nil {
		log.Fatal(err)
	}
	config.MaxConns = 10
	config.ConnConfig.RuntimeParams["search_path"] = os.Getenv("BENCH_SCHEMA") + ",public"
	pool, err := pgxpool.ConnectConfig(context.Background(), config)
	if err != nil {
		log.Fatal(err)
	}
	defer pool.Close()
	served := &http.Server{
		Addr:    "127.0.0.1:" + os.Getenv("SERVER_PORT"),
		Handler: &server{pool: pool, key: unhex(os.Getenv("BENCH_TOKEN_KEY"))},
	}
	stop, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer cancel()
	go func() {
		<-stop.Done()
		_ = served.Close()
	}()
	if err := served.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		log.Fatal(err)
	}
}
