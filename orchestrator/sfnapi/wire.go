package sfnapi

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/anneal-ml/anneal/orchestrator/asl/value"
)

// maxBody is the largest request, in bytes: the service takes 1 MiB, and its
// JSON may escape every letter of a definition.
const maxBody = 2 << 20

const target = "AWSStepFunctions."

// An operation is one of the API. It gets a request that is as [requests] has it: its
// body, and the members of that.
type operation func(s *Server, ctx context.Context, body []byte, given members) (any, error)

// A reader is an input that knows its members itself, where package encoding/json
// would take much of what the operation takes.
type reader interface {
	read(given members)
}

// A writer is an answer that writes itself, for the same reason.
type writer interface {
	write(w *value.Writer)
}

// op makes an operation of a method that takes its input decoded.
func op[In any](serve func(*Server, context.Context, In) (any, error)) operation {
	return func(s *Server, ctx context.Context, body []byte, given members) (any, error) {
		var in In
		if r, ok := any(&in).(reader); ok {
			r.read(given)
		} else if err := json.Unmarshal(body, &in); err != nil {
			return nil, unreadable(err.Error())
		}
		return serve(s, ctx, in)
	}
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id := requestID()
	w.Header().Set("X-Amzn-Requestid", id)
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	out, err := s.answer(w, r)
	status, data := s.written(r.Context(), r.Header.Get("X-Amz-Target"), id, out, err)
	if status == 0 {
		return // nobody waits for the answer
	}
	if status != http.StatusOK {
		w.WriteHeader(status)
	}
	w.Write(data)
}

// Do answers an operation to somebody inside this process, with the status and the
// body of the answer; its body is as that of a request.
func (s *Server) Do(ctx context.Context, operation string, body []byte) (status int, answer []byte) {
	out, err := s.operate(ctx, operation, body)
	return s.written(ctx, operation, "", out, err)
}

// written is an answer, or a refusal, as it is written; its status is 0 where
// nobody waits for it.
func (s *Server) written(ctx context.Context, operation, id string, out any, err error) (status int, data []byte) {
	if answer, ok := out.(writer); ok && err == nil {
		var w value.Writer
		if answer.write(&w); w.Err == nil {
			return http.StatusOK, w.Text
		}
		err = w.Err
	}
	if err == nil {
		data, failed := json.Marshal(out)
		if failed == nil {
			return http.StatusOK, data
		}
		err = failed
	}
	var e *apiError
	if !errors.As(err, &e) {
		if ctx.Err() != nil {
			return 0, nil
		}
		s.log.ErrorContext(ctx, "request failed", "operation", operation, "request", id, "err", err)
		e = &apiError{status: http.StatusInternalServerError, code: "InternalFailure", message: "The request processing has failed because of an unknown error, exception or failure."}
	}
	body := map[string]string{"__type": e.code, "message": e.message}
	if e.reason != "" {
		body["reason"] = e.reason
	}
	data, _ = json.Marshal(body) // strings only
	return e.status, data
}

func (s *Server) answer(w http.ResponseWriter, r *http.Request) (any, error) {
	if r.Method != http.MethodPost || r.URL.Path != "/" {
		return nil, &apiError{status: http.StatusNotFound, code: "UnknownOperationException", message: "POST / with X-Amz-Target: " + target + "ListStateMachines"}
	}
	if origin := r.Header.Get("Origin"); origin != "" && s.cfg.Signatures == nil {
		// Browsers send it with each POST, under whatever name they have come here (DNS
		// rebinding); programs do not.
		return nil, &apiError{status: http.StatusForbidden, code: "AccessDeniedException", message: fmt.Sprintf("A page of %s may not call without a signature", origin)}
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		var large *http.MaxBytesError
		if errors.As(err, &large) {
			return nil, &apiError{status: http.StatusRequestEntityTooLarge, code: "RequestEntityTooLarge", message: fmt.Sprintf("Request body exceeds %d bytes", maxBody)}
		}
		return nil, unreadable("the body could not be read")
	}
	if s.cfg.Signatures != nil {
		if err := s.cfg.Signatures.check(r, body, time.Now()); err != nil {
			return nil, err
		}
	}
	name, ok := strings.CutPrefix(r.Header.Get("X-Amz-Target"), target)
	if !ok {
		return nil, refuse("UnknownOperationException", "")
	}
	return s.operate(r.Context(), name, body)
}

// operate does an operation.
func (s *Server) operate(ctx context.Context, name string, body []byte) (any, error) {
	do, known := operations[name]
	if !known {
		return nil, refuse("UnknownOperationException", "")
	}
	if len(body) == 0 {
		body = []byte("{}")
	}
	given, err := requests()[name].readRequest(body)
	if err != nil {
		return nil, err
	}
	return do(s, ctx, body, given)
}

// requestID is the UUID of a request.
func requestID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails
	return uuidOf(b)
}

// epoch is a time as the API writes it: seconds since 1970, to the millisecond.
type epoch time.Time

func (t epoch) MarshalJSON() ([]byte, error) { return t.append(nil), nil }

func (t epoch) append(to []byte) []byte {
	return strconv.AppendFloat(to, float64(time.Time(t).UnixMilli())/1000, 'f', 3, 64)
}

// since is a time that may be missing.
func since(t *time.Time) *epoch {
	if t == nil || t.IsZero() {
		return nil
	}
	e := epoch(*t)
	return &e
}

// nothing is the answer of operations that answer nothing.
type nothing struct{}
