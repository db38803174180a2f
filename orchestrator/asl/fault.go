package asl

import (
	"fmt"
	"slices"

	"github.com/anneal-ml/anneal/orchestrator/asl/intrinsic"
	"github.com/anneal-ml/anneal/orchestrator/asl/value"
)

// The error names of the language.
const (
	ErrAll                    = "States.ALL"
	ErrBranchFailed           = "States.BranchFailed"
	ErrDataLimitExceeded      = "States.DataLimitExceeded"
	ErrExceedToleratedFailure = "States.ExceedToleratedFailureThreshold"
	ErrHeartbeatTimeout       = "States.HeartbeatTimeout"
	ErrHTTPSocket             = "States.Http.Socket"
	ErrIntrinsicFailure       = "States.IntrinsicFailure"
	ErrItemReaderFailed       = "States.ItemReaderFailed"
	ErrNoChoiceMatched        = "States.NoChoiceMatched"
	ErrParameterPathFailure   = "States.ParameterPathFailure"
	ErrPermissions            = "States.Permissions"
	ErrQueryEvaluation        = "States.QueryEvaluationError"
	ErrResultPathMatchFailure = "States.ResultPathMatchFailure"
	ErrResultWriterFailed     = "States.ResultWriterFailed"
	ErrRuntime                = "States.Runtime"
	ErrTaskFailed             = "States.TaskFailed"
	ErrTimeout                = "States.Timeout"
)

// ErrorNames are all of them.
func ErrorNames() []string { return slices.Clone(errorNames) }

var errorNames = []string{
	ErrAll, ErrBranchFailed, ErrDataLimitExceeded, ErrExceedToleratedFailure, ErrHeartbeatTimeout, ErrHTTPSocket,
	ErrIntrinsicFailure, ErrItemReaderFailed, ErrNoChoiceMatched, ErrParameterPathFailure, ErrPermissions,
	ErrQueryEvaluation, ErrResultPathMatchFailure, ErrResultWriterFailed, ErrRuntime, ErrTaskFailed, ErrTimeout,
}

// A fault is an error of a state, as retriers and catchers see it.
type fault struct {
	name, cause string
	// alias is a more exact name of the language that AWS does not report,
	// but that a retrier or catcher may name.
	alias string
	from  Type // of the Parallel or Map whose branch it comes from; empty: it is the state's own
	// evaluation is where in the state the query is that failed, and not nil
	// where one did.
	evaluation *string
}

func (f *fault) Error() string { return f.name + ": " + f.cause }

// Fault is the error as a state machine sees it.
func (f *fault) Fault() (name, cause string) { return f.name, f.cause }

// caught reports whether a catcher that names these errors is for this fault.
// States.Runtime is never tried again and no wildcard stands for it, but a catcher
// may name it.
func (f *fault) caught(names []string) bool {
	return f.matches(names) || f.name == ErrRuntime && slices.Contains(names, ErrRuntime)
}

// matches reports whether a retrier that names these errors is for this fault.
func (f *fault) matches(names []string) bool {
	for _, name := range names {
		switch {
		case f.alias != "" && name == f.alias:
			return true
		case f.from == TypeParallel && name == ErrBranchFailed:
			return true
		case f.name == ErrRuntime:
			// neither tried again nor meant by a wildcard
		case name == f.name:
			return true
		case f.name == ErrDataLimitExceeded:
			// only by its own name
		case name == ErrAll:
			return true
		case name == ErrTaskFailed && f.name != ErrTimeout:
			return true
		}
	}
	return false
}

// output is what a catcher that names these errors places in the data.
func (f *fault) output(names []string) value.Value {
	name, cause := value.OfString(f.told(names)), value.OfString(f.cause)
	if f.name == "" && f.cause == "" { // a task whose failure was told without either
		name, cause = value.Value{}, value.Value{}
	}
	return value.OfObject(value.Member{Key: "Error", Value: name}, value.Member{Key: "Cause", Value: cause})
}

// told is what the error is called to an entry that names these errors.
func (f *fault) told(names []string) string {
	if f.alias != "" && f.name == ErrRuntime && !slices.Contains(names, ErrRuntime) {
		return f.alias
	}
	return f.name
}

// runtime is a States.Runtime fault of the state that is being executed.
func (f *frame) runtime(format string, args ...any) *fault {
	return &fault{name: ErrRuntime, cause: f.where() + fmt.Sprintf(format, args...)}
}

// where is how the causes of faults begin, but those of a state that is tested, which
// is in no history.
func (f *frame) where() string {
	if f.t.s.Execution.Tested {
		return ""
	}
	return fmt.Sprintf("An error occurred while executing the state '%s' (entered at the event id #%d). ", f.c.Name, f.c.EnteredEvent)
}

func (f *frame) callFault(call *intrinsic.Expr, err error) *fault {
	fault := f.runtime("The function '%s' had the following error: %v", call, err)
	if e, ok := err.(*intrinsic.Error); !ok || e.Path == nil {
		fault.name = ErrIntrinsicFailure
	} else {
		fault.alias = ErrIntrinsicFailure
	}
	return fault
}

// tooLarge is the fault of a state or resource whose result is over the limit.
func tooLarge(name string) *fault {
	return &fault{
		name:  ErrDataLimitExceeded,
		cause: fmt.Sprintf("The state/task '%s' returned a result with a size exceeding the maximum number of bytes service limit.", name),
	}
}
