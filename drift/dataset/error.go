package dataset

import (
	"errors"
	"fmt"
)

// ErrTooLarge is under an [*Error] of an object that unpacks to more than the
// limits allow.
var ErrTooLarge = errors.New("unpacks to more than is allowed")

// An Error says why an object cannot be read. It will not pass by trying
// again: the object itself is at fault.
type Error struct {
	Name   string // of the object
	Line   int64  // from 1; 0 where it is no matter of one line
	Reason string // follows the name: "is empty: want a header line"
	Err    error  // under it; may be nil
}

func (e *Error) Error() string {
	if e.Line == 0 {
		return e.Name + " " + e.Reason
	}
	return fmt.Sprintf("%s:%d: %s", e.Name, e.Line, e.Reason)
}

func (e *Error) Unwrap() error { return e.Err }
