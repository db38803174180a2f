package sfnapi

import (
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

func invalid(format string, args ...any) *apiError {
	return refuse("ValidationException", format, args...)
}

// violated is how the service tells of fields that break their constraints.
func violated(problems []string) *apiError {
	noun := "errors"
	if len(problems) == 1 {
		noun = "error"
	}
	return invalid("%d validation %s detected: %s", len(problems), noun, strings.Join(problems, "; "))
}
