package main

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v4"
)

const noDue = `'9999-12-31 23:59:59.999999Z'::timestamptz`

const (
	selectTask = `SELECT ` + fields + ` FROM tasks WHERE id = $1`
	insertTask = `INSERT INTO tasks (owner_id, title, description, status, priority, due_date, due_at,
time_zone, due_sort, labels, label_keys, completed_at, created_at, updated_at)
VALUES ($1, $2, $3, coalesce($4::smallint, 0), coalesce($5::smallint, 0), $6::date, $7::timestamptz,
$8, coalesce($7::timestamptz, $6::date, ` + noDue + `), coalesce($9::text[], '{}'), $10,
CASE WHEN $4::smallint = 2 THEN now() END, now(), now()) RETURNING ` + fields
	// $12: whether a due is given. What is null of the others stays as it is.
	updateTask = `UPDATE tasks SET title = coalesce($4, title),
description = coalesce($5, description), status = coalesce($6::smallint, status),
priority = coalesce($7::smallint, priority),
completed_at = CASE coalesce($6::smallint, status) WHEN 2 THEN coalesce(completed_at, now()) END,
labels = coalesce($8, labels),
label_keys = CASE WHEN $8::text[] IS NULL THEN label_keys ELSE $9 END,
due_date = CASE WHEN $12 THEN $10::date ELSE due_date END,
due_at = CASE WHEN $12 THEN $11::timestamptz ELSE due_at END,
time_zone = CASE WHEN $12 THEN $13 ELSE time_zone END,
due_sort = CASE WHEN $12 THEN coalesce($11::timestamptz, $10::date, ` + noDue + `)
ELSE due_sort END, edition = edition + 1, updated_at = now()
WHERE id = $1 AND (owner_id = $2 OR $3) RETURNING ` + fields
	deleteTask    = `DELETE FROM tasks WHERE id = $1 AND (owner_id = $2 OR $3)`
	selectChanges = `SELECT ` + fields + ` FROM tasks
WHERE owner_id = $1 AND (updated_at, id) > ($2, $3) ORDER BY updated_at, id LIMIT $4`
)

var wordPattern = regexp.MustCompile(`[\p{L}\p{N}]+`)

type page struct {
	Items      []task  `json:"items"`
	Total      int64   `json:"total"`
	Skip       int     `json:"skip"`
	Limit      int     `json:"limit"`
	NextCursor *string `json:"next_cursor"`
}

// A statement while it is written: its values, and what it tests.
type listing struct {
	values []any
	tests  []string
}

func (l *listing) place(value any) string {
	l.values = append(l.values, value)
	return "$" + strconv.Itoa(len(l.values))
}

func (l *listing) oneOf(column string, query []string, words []string) error {
	if len(query) == 0 {
		return nil
	}
	numbers := []int16{}
	for _, word := range query {
		members, isGroup := groups[word]
		if !isGroup || column != "status" {
			members = []string{word}
		}
		for _, member := range members {
			each, err := number(column, &member, words)
			if err != nil {
				return err
			}
			numbers = append(numbers, *each)
		}
	}
	l.tests = append(l.tests, column+" = ANY("+l.place(numbers)+"::smallint[])")
	return nil
}

func whole(query url.Values, name string, otherwise, least, most int) (int, error) {
	text := query.Get(name)
	if text == "" {
		return otherwise, nil
	}
	found, err := strconv.Atoi(text)
	if err != nil || found < least || found > most {
		return 0, invalid("%s is a number from %d to %d", name, least, most)
	}
	return found, nil
}

func (s *server) list(w http.ResponseWriter, r *http.Request, who user) error {
	query := r.URL.Query()
	limit, err := whole(query, "limit", 100, 1, 100)
	if err != nil {
		return err
	}
	skip, err := whole(query, "skip", 0, 0, 1<<31-1)
	if err != nil {
		return err
	}
	l := listing{[]any{who.id}, []string{"owner_id = $1"}}
	if err := l.oneOf("status", query["status"], statuses); err != nil {
		return err
	}
	if err := l.oneOf("priority", query["priority"], priorities); err != nil {
		return err
	}
	if labels := query["label"]; labels != nil {
		keys := make([]string, len(labels))
		for place, label := range labels {
			keys[place] = strings.ToLower(label)
		}
		l.tests = append(l.tests, "label_keys && "+l.place(keys)+"::text[]")
	}
	from, rank, order := "tasks", "0::real AS rank", "id DESC"
	if q := query.Get("q"); q != "" {
		words := wordPattern.FindAllString(strings.ToLower(q), -1)
		if words == nil || len(q) > 800 {
			return invalid("q needs a letter or a digit")
		}
		place := l.place(strings.Join(words, ":* & ") + ":*")
		from = "tasks, to_tsquery('simple', " + place + ") AS query"
		rank, order = "ts_rank(words, query) AS rank", "rank DESC, id DESC"
		l.tests = append(l.tests, "words @@ query")
	}
	count := fmt.Sprintf("SELECT count(*) FROM %s WHERE %s", from, strings.Join(l.tests, " AND "))
	counted := l.values
	if cursor := query.Get("cursor"); cursor != "" {
		var before int64
		if err := readCursor(cursor, &before); err != nil {
			return err
		}
		l.tests = append(l.tests, "id < "+l.place(before)+"::bigint")
	}
	statement := fmt.Sprintf(`SELECT (%s), %s, %s FROM %s WHERE %s ORDER BY %s LIMIT %s OFFSET %s`,
		count, rank, fields, from, strings.Join(l.tests, " AND "), order, l.place(limit+1), l.place(skip))
	rows, err := s.pool.Query(r.Context(), statement, l.values...)
	if err != nil {
		return err
	}
	defer rows.Close()
	found := page{Items: make([]task, 0, limit+1), Skip: skip, Limit: limit}
	var ranked float32
	for rows.Next() {
		var each task
		if err := each.scan(rows, &found.Total, &ranked); err != nil {
			return err
		}
		found.Items = append(found.Items, each)
	}
	if err := rows.Err(); err != nil {
		return err
	}
	if len(found.Items) == 0 { // behind the last page
		if err := s.pool.QueryRow(r.Context(), count, counted...).Scan(&found.Total); err != nil {
			return err
		}
	}
	if len(found.Items) > limit {
		found.Items = found.Items[:limit]
		cursor, err := cursorOf(found.Items[limit-1].ID)
		if err != nil {
			return err
		}
		found.NextCursor = &cursor
	}
	return write(w, 200, found)
}

func (s *server) get(w http.ResponseWriter, r *http.Request, who user, id int64) error {
	var found task
	err := found.scan(s.pool.QueryRow(r.Context(), selectTask, id))
	if errors.Is(err, pgx.ErrNoRows) || (err == nil && found.OwnerID != who.id && !who.isAdmin) {
		return notFound
	} else if err != nil {
		return err
	}
	return answer(w, 200, found)
}

func (s *server) create(w http.ResponseWriter, r *http.Request, who user) error {
	body, err := read(r)
	if err != nil {
		return err
	}
	if body.Title == nil {
		return invalid("title is required")
	}
	content, err := body.content(who)
	if err != nil {
		return err
	}
	described := ""
	if body.Description != nil {
		described = *body.Description
	}
	var made task
	err = made.scan(s.pool.QueryRow(r.Context(), insertTask, who.id, *body.Title, described,
		content.status, content.priority, content.day(), content.dueAt, content.zone, content.labels,
		content.keys))
	if err != nil {
		return err
	}
	w.Header().Set("Location", fmt.Sprintf("%s/tasks/%d", prefix, made.ID))
	return answer(w, 201, made)
}

func (s *server) edit(w http.ResponseWriter, r *http.Request, who user, id int64) error {
	body, err := read(r)
	if err != nil {
		return err
	}
	content, err := body.content(who)
	if err != nil {
		return err
	}
	var edited task
	err = edited.scan(s.pool.QueryRow(r.Context(), updateTask, id, who.id, who.isAdmin, body.Title,
		body.Description, content.status, content.priority, content.labels, content.keys,
		content.day(), content.dueAt, content.dueNamed, content.zone))
	if errors.Is(err, pgx.ErrNoRows) {
		return notFound
	} else if err != nil {
		return err
	}
	return answer(w, 200, edited)
}

func (s *server) delete(w http.ResponseWriter, r *http.Request, who user, id int64) error {
	gone, err := s.pool.Exec(r.Context(), deleteTask, id, who.id, who.isAdmin)
	if err != nil {
		return err
	}
	if gone.RowsAffected() == 0 {
		return notFound
	}
	w.WriteHeader(204)
	return nil
}

type change struct {
	Type   string `json:"type"`
	ID     int64  `json:"id"`
	Change string `json:"change"`
	Task   task   `json:"task"`
}

type changed struct {
	Items   []change `json:"items"`
	Cursor  string   `json:"cursor"`
	HasMore bool     `json:"has_more"`
}

// By the time of the last change. So it tells of no deletion, and a reader may miss a change that is
// committed after a later one: what is simple to write by hand.
func (s *server) changes(w http.ResponseWriter, r *http.Request, who user) error {
	query := r.URL.Query()
	limit, err := whole(query, "limit", 1000, 1, 1000)
	if err != nil {
		return err
	}
	var at time.Time
	var id int64
	after := query.Get("cursor")
	if err := readCursor(after, &[]any{&at, &id}); err != nil {
		return err
	}
	rows, err := s.pool.Query(r.Context(), selectChanges, who.id, at, id, limit+1)
	if err != nil {
		return err
	}
	defer rows.Close()
	found := changed{Items: make([]change, 0, limit+1), Cursor: after}
	for rows.Next() {
		each := change{Type: "task", Change: "upserted"}
		if err := each.Task.scan(rows); err != nil {
			return err
		}
		each.ID = each.Task.ID
		found.Items = append(found.Items, each)
	}
	if err := rows.Err(); err != nil {
		return err
	}
	if found.HasMore = len(found.Items) > limit; found.HasMore {
		found.Items = found.Items[:limit]
	}
	if count := len(found.Items); count > 0 {
		last := found.Items[count-1].Task
		if found.Cursor, err = cursorOf([]any{last.UpdatedAt, last.ID}); err != nil {
			return err
		}
	}
	return write(w, 200, found)
}
