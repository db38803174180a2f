package sfnapi

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// An apiError is what the service answers instead of a result.
type apiError struct {
	status  int
	code    string
	message string
	reason  string // of a ValidationException, where it has one
}

func (e *apiError) Error() string { return e.code + ": " + e.message }

// refuse is an error of the caller.
func refuse(code, format string, args ...any) *apiError {
	return &apiError{status: http.StatusBadRequest, code: code, message: fmt.Sprintf(format, args...)}
}

// is reports whether err is what the service calls code.
func is(err error, code string) bool {
	var e *apiError
	return errors.As(err, &e) && e.code == code
}

// invalid is that of a request whose parts do not go together.
func invalid(format string, args ...any) *apiError {
	return refuse("ValidationException", format, args...)
}

// The reasons that a ValidationException may have.
const (
	reasonLabel    = "API_DOES_NOT_SUPPORT_LABELED_ARNS"
	reasonMissing  = "MISSING_REQUIRED_PARAMETER"
	reasonEnded    = "CANNOT_UPDATE_COMPLETED_MAP_RUN"
	reasonRoutings = "INVALID_ROUTING_CONFIGURATION"
)

// because is e with a reason.
func (e *apiError) because(reason string) *apiError {
	e.reason = reason
	return e
}

// violated is how the service tells of fields that break their constraints.
func violated(problems []string) *apiError {
	noun := "errors"
	if len(problems) == 1 {
		noun = "error"
	}
	return invalid("%d validation %s detected: %s", len(problems), noun, strings.Join(problems, "; "))
}
