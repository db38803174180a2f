package web

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"

	"github.com/anneal-ml/anneal/journal"
)

// An Error is a refusal, in the form of RFC 9457.
type Error struct {
	Type   string `json:"type"`  // about:blank: the title says it all
	Title  string `json:"title"` // of the status
	Status int    `json:"status"`
	Detail string `json:"detail"` // what is wrong, and what would be right
}

func (e *Error) Error() string { return e.Detail }

// Refuse makes an [Error].
func Refuse(status int, format string, args ...any) error {
	return &Error{Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: fmt.Sprintf(format, args...)}
}

// Fail answers with err.
func Fail(w http.ResponseWriter, err error) {
	refusal := refusalOf(err)
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(refusal.Status)
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.Encode(refusal) // a peer that is gone needs no answer
}

// refusalOf is what err is to who asked.
func refusalOf(err error) *Error {
	var refusal *Error
	var big *http.MaxBytesError
	switch {
	case errors.As(err, &refusal):
		return refusal
	case errors.As(err, &big):
		err = Refuse(http.StatusRequestEntityTooLarge, "the body is larger than %d bytes", big.Limit)
	case errors.Is(err, journal.ErrNotFound):
		err = Refuse(http.StatusNotFound, "%v", err)
	case errors.Is(err, os.ErrDeadlineExceeded):
		err = Refuse(http.StatusRequestTimeout, "the body did not come in time")
	case errors.Is(err, journal.ErrFull): // what was not taken may be sent again
		err = Refuse(http.StatusInsufficientStorage, "%v", err)
	default:
		err = Refuse(http.StatusInternalServerError, "%v", err)
	}
	return err.(*Error) // what Refuse makes
}

func needsDaemon(what string) error {
	return Refuse(http.StatusServiceUnavailable, "%s needs a running daemon (set ANNEAL_SERVER or start `anneal serve`)", what)
}
