package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v4"
)

var (
	statuses   = []string{"todo", "in_progress", "done", "cancelled"}
	groups     = map[string][]string{"open": {"todo", "in_progress"}, "closed": {"done", "cancelled"}}
	priorities = []string{"none", "low", "medium", "high", "urgent"}
)

const fields = `id, title, description, status, priority, due_date, due_at, time_zone, labels,
completed_at, owner_id, edition, created_at, updated_at`

type day struct{ time.Time }

func (d day) MarshalJSON() ([]byte, error) { return []byte(d.Format(`"2006-01-02"`)), nil }

func (d *day) UnmarshalJSON(text []byte) (err error) {
	d.Time, err = time.Parse(`"2006-01-02"`, string(text))
	return err
}

type task struct {
	ID          int64      `json:"id"`
	Title       string     `json:"title"`
	Description string     `json:"description"`
	Status      string     `json:"status"`
	Priority    string     `json:"priority"`
	DueDate     *day       `json:"due_date"`
	DueAt       *time.Time `json:"due_at"`
	TimeZone    *string    `json:"time_zone"`
	Labels      []string   `json:"labels"`
	CompletedAt *time.Time `json:"completed_at"`
	OwnerID     int64      `json:"owner_id"`
	Version     int64      `json:"version"`
	CreatedAt   time.Time  `json:"created_at"`
	UpdatedAt   time.Time  `json:"updated_at"`
}

// Reads a row of `fields`, behind `before` and before `after`.
func (t *task) scan(row pgx.Row, around ...any) error {
	var status, priority int16
	var due *time.Time
	into := []any{&t.ID, &t.Title, &t.Description, &status, &priority, &due, &t.DueAt, &t.TimeZone,
		&t.Labels, &t.CompletedAt, &t.OwnerID, &t.Version, &t.CreatedAt, &t.UpdatedAt}
	if err := row.Scan(append(around, into...)...); err != nil {
		return err
	}
	if due != nil {
		t.DueDate = &day{*due}
	}
	for _, moment := range []*time.Time{t.DueAt, t.CompletedAt, &t.CreatedAt, &t.UpdatedAt} {
		if moment != nil {
			*moment = moment.UTC()
		}
	}
	t.Status, t.Priority = statuses[status], priorities[priority]
	return nil
}

type draft struct {
	Title       *string         `json:"title"`
	Description *string         `json:"description"`
	Status      *string         `json:"status"`
	Priority    *string         `json:"priority"`
	DueDate     json.RawMessage `json:"due_date"`
	DueAt       json.RawMessage `json:"due_at"`
	TimeZone    json.RawMessage `json:"time_zone"`
	Labels      *[]string       `json:"labels"`
}

// What a draft is stored as.
type content struct {
	status, priority *int16
	labels, keys     []string
	dueNamed         bool
	dueDate          *day
	dueAt            *time.Time
	zone             *string
}

func invalid(format string, values ...any) error {
	return refusal{422, fmt.Sprintf(format, values...)}
}

func read(r *http.Request) (draft, error) {
	var body draft
	decoder := json.NewDecoder(http.MaxBytesReader(nil, r.Body, 1<<16))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&body); err != nil {
		return body, invalid("The body is not valid: %v", err)
	}
	return body, nil
}

// Checks the rules of each field, and those of a due.
func (d draft) content(who user) (content, error) {
	var c content
	if err := length("title", d.Title, 1, 255); err != nil {
		return c, err
	}
	if err := length("description", d.Description, 0, 5000); err != nil {
		return c, err
	}
	var err error
	if c.status, err = number("status", d.Status, statuses); err != nil {
		return c, err
	}
	if c.priority, err = number("priority", d.Priority, priorities); err != nil {
		return c, err
	}
	if d.Labels != nil {
		if c.labels, c.keys, err = labelled(*d.Labels); err != nil {
			return c, err
		}
	}
	if c.dueNamed = d.DueDate != nil || d.DueAt != nil || d.TimeZone != nil; !c.dueNamed {
		return c, nil
	}
	for _, part := range []struct {
		name string
		text json.RawMessage
		into any
	}{{"due_date", d.DueDate, &c.dueDate}, {"due_at", d.DueAt, &c.dueAt}, {"time_zone", d.TimeZone, &c.zone}} {
		if part.text != nil && json.Unmarshal(part.text, part.into) != nil {
			return c, invalid("%s is not valid", part.name)
		}
	}
	switch {
	case c.dueDate != nil && c.dueAt != nil:
		return c, invalid("give due_date or due_at")
	case c.dueAt == nil && c.zone != nil:
		return c, invalid("time_zone belongs to due_at")
	case c.dueAt != nil && c.zone == nil:
		c.zone = &who.timeZone
	}
	return c, nil
}

// As pgx writes it.
func (c content) day() *time.Time {
	if c.dueDate == nil {
		return nil
	}
	return &c.dueDate.Time
}

func length(name string, text *string, least, most int) error {
	if text == nil {
		return nil
	}
	count := utf8.RuneCountInString(*text)
	if count < least || count > most || strings.ContainsRune(*text, 0) {
		return invalid("%s has %d to %d characters", name, least, most)
	}
	return nil
}

func number(name string, word *string, words []string) (*int16, error) {
	if word == nil {
		return nil, nil
	}
	for place, each := range words {
		if each == *word {
			number := int16(place)
			return &number, nil
		}
	}
	return nil, invalid("%s must be one of %s", name, strings.Join(words, ", "))
}

// The labels and what makes them alike, which is null without any.
func labelled(labels []string) (names, keys []string, err error) {
	if len(labels) > 20 {
		return nil, nil, invalid("at most 20 labels")
	}
	seen := map[string]bool{}
	for _, label := range labels {
		if err := length("a label", &label, 1, 64); err != nil {
			return nil, nil, err
		}
		key := strings.ToLower(label)
		if seen[key] {
			return nil, nil, invalid("the label %q is there already", label)
		}
		seen[key] = true
		keys = append(keys, key)
	}
	return append([]string{}, labels...), keys, nil
}

func write(w http.ResponseWriter, status int, body any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	if w.Header().Get("Content-Type") == "" {
		w.Header().Set("Content-Type", "application/json")
	}
	w.WriteHeader(status)
	_, err = w.Write(text)
	return err
}

func answer(w http.ResponseWriter, status int, t task) error {
	w.Header().Set("ETag", fmt.Sprintf(`"%d"`, t.Version))
	return write(w, status, t)
}

func cursorOf(position any) (string, error) {
	text, err := json.Marshal(position)
	return base64.RawURLEncoding.EncodeToString(text), err
}

func readCursor(cursor string, into any) error {
	text, err := base64.RawURLEncoding.DecodeString(cursor)
	if err == nil {
		err = json.Unmarshal(text, into)
	}
	if err != nil {
		return invalid("the cursor is not one of this list")
	}
	return nil
}
