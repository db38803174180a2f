package web

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/policy"
)

// A query chooses what a list holds.
type query struct {
	limit  uint64 // 0: all
	before uint64 // record number to go on before; 0: from the newest

	policy, model, status string    // only those; empty: all
	since                 time.Time // only those of this time and later
}

// filters are what a list can be asked to be confined to, by noun.
var filters = map[string][]string{
	"events":    {"status", "since"},
	"signals":   {"policy", "model", "status", "since"},
	"decisions": {"policy", "model", "status", "since"},
	"runs":      {"policy", "model", "status", "since"},
	"models":    {"model", "status", "since"},
	"notices":   {"policy", "model", "status", "since"},
}

// statuses are what status can be, by noun.
var statuses = map[string][]string{
	"events":    {"parked", "taken"},
	"signals":   texts(anneal.SignalOK, anneal.SignalMissing, anneal.SignalStale, anneal.SignalFailed),
	"decisions": texts(verdicts...),
	"runs":      texts(runStatuses...),
	"models":    texts(stages...),
	"notices":   {noticeDelivered, noticeWaiting, noticeFailed},
}

// Filters are what a list of noun can be confined to: names of parameters.
func Filters(noun string) []string { return slices.Clone(filters[noun]) }

// Statuses are what the parameter status of a list of noun can be.
func Statuses(noun string) []string { return slices.Clone(statuses[noun]) }

// What has become of a notice.
const (
	noticeDelivered = "delivered"
	noticeWaiting   = "waiting" // on its way
	noticeFailed    = "failed"  // given up
)

func texts[T ~string](values ...T) []string {
	all := make([]string, len(values))
	for i, v := range values {
		all[i] = string(v)
	}
	return all
}

// parseQuery reads the query of a list; now is what a `since` of a duration is
// before.
func parseQuery(noun string, values url.Values, now time.Time) (query, error) {
	q := query{limit: 100}
	have := append([]string{"limit", "cursor"}, filters[noun]...)
	for _, name := range sortedKeys(values) {
		if !slices.Contains(have, name) {
			return q, Refuse(http.StatusBadRequest, "unknown parameter %q of %s (have %s)", name, noun, strings.Join(have, ", "))
		}
		value := values[name][0]
		if value == "" {
			continue
		}
		var err error
		switch name {
		case "limit":
			if q.limit, err = strconv.ParseUint(value, 10, 64); err != nil {
				return q, Refuse(http.StatusBadRequest, "limit %q: want a whole number; 0: all", value)
			}
		case "cursor":
			if q.before, err = parseCursor(noun, value); err != nil {
				return q, err
			}
		case "policy":
			q.policy = value
		case "model":
			q.model = value
		case "status":
			if q.status = value; !slices.Contains(statuses[noun], value) {
				return q, Refuse(http.StatusBadRequest, "unknown status %q of %s (have %s)", value, noun, strings.Join(statuses[noun], ", "))
			}
		case "since":
			if q.since, err = time.Parse(time.RFC3339, value); err == nil {
				break
			}
			ago, err := policy.ParseDuration(value)
			if err != nil {
				return q, Refuse(http.StatusBadRequest, "since %q: want a time such as 2026-11-01T00:00:00Z, or how long ago, such as 36h", value)
			}
			q.since = now.Add(-time.Duration(ago))
		}
	}
	return q, nil
}

// wants says whether an item of a list is to be in it.
func (q query) wants(item []byte) bool {
	if q.policy == "" && q.model == "" && q.status == "" && q.since.IsZero() {
		return true
	}
	var of struct {
		Policy string
		Model  string
		Group  string // a model's
		Parked *string

		Status  any // a number, where it is a notice's
		Verdict string
		Stage   string

		Seen, At, Started, TrainedAt time.Time

		Channel   string // a notice's
		Delivered *time.Time
		GivenUp   bool
	}
	if json.Unmarshal(item, &of) != nil {
		return false
	}
	word, _ := of.Status.(string)
	status, at := cmp.Or(word, of.Verdict, of.Stage), of.At // a signal's verdict is beside its status
	switch {
	case of.Channel != "":
		status = noticeStatus(anneal.Notice{Delivered: of.Delivered, GivenUp: of.GivenUp})
	case !of.Seen.IsZero():
		at, status = of.Seen, "taken"
		if of.Parked != nil {
			status = "parked"
		}
	case !of.Started.IsZero():
		at = of.Started
	case !of.TrainedAt.IsZero():
		at = of.TrainedAt
	}
	return (q.policy == "" || q.policy == of.Policy) &&
		(q.model == "" || q.model == of.Model || q.model == of.Group) &&
		(q.status == "" || q.status == status) &&
		!at.Before(q.since)
}

func noticeStatus(n anneal.Notice) string {
	switch {
	case n.Delivered != nil:
		return noticeDelivered
	case n.GivenUp:
		return noticeFailed
	}
	return noticeWaiting
}

// A cursor names the list and the record that its next page goes on before.
// What is in it is nobody else's business.
func makeCursor(noun string, before uint64) string {
	return base64.RawURLEncoding.EncodeToString([]byte(noun + " " + strconv.FormatUint(before, 36)))
}

func parseCursor(noun, cursor string) (uint64, error) {
	text, err := base64.RawURLEncoding.DecodeString(cursor)
	if err == nil {
		of, number, _ := strings.Cut(string(text), " ")
		if before, err := strconv.ParseUint(number, 36, 64); err == nil && of == noun && before > 0 {
			return before, nil
		}
	}
	return 0, Refuse(http.StatusBadRequest, "cursor %q: want one that a list of %s gave in its header %s", cursor, noun, Cursor)
}
