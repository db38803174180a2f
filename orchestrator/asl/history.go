package asl

import (
	"encoding/json"
	"time"
)

// An EventType is the type of a history event.
type EventType string

// The event types of what is built. What is told of a state is named for its
// type: PassStateEntered, WaitStateExited, TaskStateAborted, MapStateSucceeded,
// ParallelStateFailed.
const (
	ExecutionStarted   EventType = "ExecutionStarted"
	ExecutionSucceeded EventType = "ExecutionSucceeded"
	ExecutionFailed    EventType = "ExecutionFailed"
	ExecutionTimedOut  EventType = "ExecutionTimedOut"
	ExecutionAborted   EventType = "ExecutionAborted"
	ExecutionRedriven  EventType = "ExecutionRedriven"
	EvaluationFailed   EventType = "EvaluationFailed"

	TaskStateEntered EventType = "TaskStateEntered"
	TaskStateExited  EventType = "TaskStateExited"
	TaskScheduled    EventType = "TaskScheduled"
	TaskStarted      EventType = "TaskStarted"
	TaskSubmitted    EventType = "TaskSubmitted"
	TaskSucceeded    EventType = "TaskSucceeded"
	TaskFailed       EventType = "TaskFailed"
	TaskTimedOut     EventType = "TaskTimedOut"

	LambdaFunctionScheduled EventType = "LambdaFunctionScheduled"
	LambdaFunctionStarted   EventType = "LambdaFunctionStarted"
	LambdaFunctionSucceeded EventType = "LambdaFunctionSucceeded"
	LambdaFunctionFailed    EventType = "LambdaFunctionFailed"
	LambdaFunctionTimedOut  EventType = "LambdaFunctionTimedOut"

	ParallelStateStarted EventType = "ParallelStateStarted"

	MapStateStarted       EventType = "MapStateStarted"
	MapIterationStarted   EventType = "MapIterationStarted"
	MapIterationSucceeded EventType = "MapIterationSucceeded"
	MapIterationFailed    EventType = "MapIterationFailed"
	MapIterationAborted   EventType = "MapIterationAborted"

	MapRunStarted   EventType = "MapRunStarted"
	MapRunSucceeded EventType = "MapRunSucceeded"
	MapRunFailed    EventType = "MapRunFailed"
	MapRunAborted   EventType = "MapRunAborted"
	MapRunRedriven  EventType = "MapRunRedriven"

	ActivityScheduled EventType = "ActivityScheduled"
	ActivityStarted   EventType = "ActivityStarted"
	ActivitySucceeded EventType = "ActivitySucceeded"
	ActivityFailed    EventType = "ActivityFailed"
	ActivityTimedOut  EventType = "ActivityTimedOut"
)

// A HistoryEvent is one event of an execution, in the JSON of Step Functions'
// GetExecutionHistory, except that the timestamp is RFC 3339.
type HistoryEvent struct {
	ID         int64     `json:"id"` // 1, 2, 3, …
	PreviousID int64     `json:"previousEventId"`
	Timestamp  time.Time `json:"timestamp"`
	Type       EventType `json:"type"`

	ExecutionStarted   *StartedDetails      `json:"executionStartedEventDetails,omitempty"`
	ExecutionSucceeded *OutputDetails       `json:"executionSucceededEventDetails,omitempty"`
	ExecutionFailed    *ErrorDetails        `json:"executionFailedEventDetails,omitempty"`
	ExecutionTimedOut  *ErrorDetails        `json:"executionTimedOutEventDetails,omitempty"`
	ExecutionAborted   *ErrorDetails        `json:"executionAbortedEventDetails,omitempty"`
	ExecutionRedriven  *RedrivenDetails     `json:"executionRedrivenEventDetails,omitempty"`
	StateEntered       *StateEnteredDetails `json:"stateEnteredEventDetails,omitempty"`
	StateExited        *StateExitedDetails  `json:"stateExitedEventDetails,omitempty"`

	EvaluationFailed *EvaluationFailedDetails `json:"evaluationFailedEventDetails,omitempty"`

	MapStarted         *MapStartedDetails `json:"mapStateStartedEventDetails,omitempty"`
	IterationStarted   *IterationDetails  `json:"mapIterationStartedEventDetails,omitempty"`
	IterationSucceeded *IterationDetails  `json:"mapIterationSucceededEventDetails,omitempty"`
	IterationFailed    *IterationDetails  `json:"mapIterationFailedEventDetails,omitempty"`
	IterationAborted   *IterationDetails  `json:"mapIterationAbortedEventDetails,omitempty"`

	MapRunStarted  *MapRunDetails         `json:"mapRunStartedEventDetails,omitempty"`
	MapRunFailed   *ErrorDetails          `json:"mapRunFailedEventDetails,omitempty"`
	MapRunRedriven *MapRunRedrivenDetails `json:"mapRunRedrivenEventDetails,omitempty"`

	TaskScheduled *TaskScheduledDetails `json:"taskScheduledEventDetails,omitempty"`
	TaskStarted   *TaskDetails          `json:"taskStartedEventDetails,omitempty"`
	TaskSubmitted *TaskOutputDetails    `json:"taskSubmittedEventDetails,omitempty"`
	TaskSucceeded *TaskOutputDetails    `json:"taskSucceededEventDetails,omitempty"`
	TaskFailed    *TaskErrorDetails     `json:"taskFailedEventDetails,omitempty"`
	TaskTimedOut  *TaskErrorDetails     `json:"taskTimedOutEventDetails,omitempty"`

	// What failed before it began. These are told by Step Functions alone.
	TaskSubmitFailed       *TaskErrorDetails `json:"taskSubmitFailedEventDetails,omitempty"`
	TaskStartFailed        *TaskErrorDetails `json:"taskStartFailedEventDetails,omitempty"`
	LambdaScheduleFailed   *ErrorDetails     `json:"lambdaFunctionScheduleFailedEventDetails,omitempty"`
	LambdaStartFailed      *ErrorDetails     `json:"lambdaFunctionStartFailedEventDetails,omitempty"`
	ActivityScheduleFailed *ErrorDetails     `json:"activityScheduleFailedEventDetails,omitempty"`

	LambdaScheduled *WorkScheduledDetails `json:"lambdaFunctionScheduledEventDetails,omitempty"`
	LambdaSucceeded *OutputDetails        `json:"lambdaFunctionSucceededEventDetails,omitempty"`
	LambdaFailed    *ErrorDetails         `json:"lambdaFunctionFailedEventDetails,omitempty"`
	LambdaTimedOut  *ErrorDetails         `json:"lambdaFunctionTimedOutEventDetails,omitempty"`

	ActivityScheduled *WorkScheduledDetails   `json:"activityScheduledEventDetails,omitempty"`
	ActivityStarted   *ActivityStartedDetails `json:"activityStartedEventDetails,omitempty"`
	ActivitySucceeded *OutputDetails          `json:"activitySucceededEventDetails,omitempty"`
	ActivityFailed    *ErrorDetails           `json:"activityFailedEventDetails,omitempty"`
	ActivityTimedOut  *ErrorDetails           `json:"activityTimedOutEventDetails,omitempty"`
}

// Ended reports whether the event ends an execution.
func (e HistoryEvent) Ended() bool {
	switch e.Type {
	case ExecutionSucceeded, ExecutionFailed, ExecutionTimedOut, ExecutionAborted:
		return true
	}
	return false
}

// DataDetails says whether an input or output was cut; it never is here.
type DataDetails struct {
	Truncated bool `json:"truncated"`
}

// StartedDetails are those of ExecutionStarted.
type StartedDetails struct {
	Input        string      `json:"input"` // JSON
	InputDetails DataDetails `json:"inputDetails"`
	RoleARN      string      `json:"roleArn,omitempty"`
	// By which it was started; told by Step Functions alone.
	VersionARN string `json:"stateMachineVersionArn,omitempty"`
	AliasARN   string `json:"stateMachineAliasArn,omitempty"`
}

// OutputDetails are those of a success.
type OutputDetails struct {
	Output        string      `json:"output"` // JSON
	OutputDetails DataDetails `json:"outputDetails"`
}

// ErrorDetails are those of a failure.
type ErrorDetails struct {
	Error string `json:"error,omitempty"`
	Cause string `json:"cause,omitempty"`
}

// RedrivenDetails are those of ExecutionRedriven.
type RedrivenDetails struct {
	RedriveCount int64 `json:"redriveCount"` // 1 for the first
}

// EvaluationFailedDetails are those of an expression in JSONata that failed.
type EvaluationFailedDetails struct {
	Error    string `json:"error"`
	Cause    string `json:"cause,omitempty"`
	Location string `json:"location,omitempty"` // in the state: Output/total
	State    string `json:"state"`              // name
}

// StateEnteredDetails are those of a state that was entered.
type StateEnteredDetails struct {
	Name         string      `json:"name"`
	Input        string      `json:"input"` // JSON
	InputDetails DataDetails `json:"inputDetails"`
}

// StateExitedDetails are those of a state that was left.
type StateExitedDetails struct {
	Name            string            `json:"name"`
	Output          string            `json:"output"` // JSON
	OutputDetails   DataDetails       `json:"outputDetails"`
	Assigned        map[string]string `json:"assignedVariables,omitempty"` // JSON, by name
	AssignedDetails *DataDetails      `json:"assignedVariablesDetails,omitempty"`
}

// MapStartedDetails are those of MapStateStarted.
type MapStartedDetails struct {
	Length int `json:"length"`
}

// IterationDetails are those of the events of a Map's iteration.
type IterationDetails struct {
	Name  string `json:"name"` // of the Map state
	Index int    `json:"index"`
}

// MapRunDetails are those of MapRunStarted.
type MapRunDetails struct {
	MapRunARN string `json:"mapRunArn"`
}

// MapRunRedrivenDetails are those of MapRunRedriven.
type MapRunRedrivenDetails struct {
	MapRunARN    string `json:"mapRunArn"`
	RedriveCount int64  `json:"redriveCount"` // 1 for the first
}

// TaskDetails name an integration: resource is its action, as in
// createTrainingJob.sync, and resource type its service, as in sagemaker.
type TaskDetails struct {
	ResourceType string `json:"resourceType"`
	Resource     string `json:"resource"`
}

// TaskScheduledDetails are those of TaskScheduled.
type TaskScheduledDetails struct {
	TaskDetails
	Region             string `json:"region"`
	Parameters         string `json:"parameters"` // JSON
	TimeoutInSeconds   int64  `json:"timeoutInSeconds,omitempty"`
	HeartbeatInSeconds int64  `json:"heartbeatInSeconds,omitempty"`

	TaskCredentials *TaskCredentials `json:"taskCredentials,omitempty"`
}

// TaskCredentials are whose rights a task is done with.
type TaskCredentials struct {
	RoleARN string `json:"roleArn"`
}

// TaskOutputDetails are those of TaskSubmitted and TaskSucceeded.
type TaskOutputDetails struct {
	TaskDetails
	OutputDetails
}

// TaskErrorDetails are those of TaskFailed and TaskTimedOut.
type TaskErrorDetails struct {
	TaskDetails
	ErrorDetails
}

// WorkScheduledDetails are those of LambdaFunctionScheduled and
// ActivityScheduled.
type WorkScheduledDetails struct {
	Resource           string      `json:"resource"` // ARN
	Input              string      `json:"input"`    // JSON
	InputDetails       DataDetails `json:"inputDetails"`
	TimeoutInSeconds   int64       `json:"timeoutInSeconds,omitempty"`
	HeartbeatInSeconds int64       `json:"heartbeatInSeconds,omitempty"`

	TaskCredentials *TaskCredentials `json:"taskCredentials,omitempty"` // of a Lambda function
}

// ActivityStartedDetails are those of ActivityStarted.
type ActivityStartedDetails struct {
	WorkerName string `json:"workerName,omitempty"`
}

// A StateResult is what one visit of a Task state came to.
type StateResult struct {
	Parameters json.RawMessage // as they were sent, of the last attempt
	Input      json.RawMessage // of the state
	Output     json.RawMessage // of the state
	Exited     time.Time
}

// Succeeded is the last visit of the Task state of that name in which its task
// succeeded; false if there is none. It works on the history of an execution
// on AWS too.
func Succeeded(history []HistoryEvent, state string) (StateResult, bool) {
	type visit struct {
		StateResult
		done bool
	}
	// Several may go on at once; what belongs to one follows it by event ID.
	visits := map[int64]*visit{}
	var last StateResult
	found := false
	for _, e := range history {
		v := visits[e.PreviousID]
		if e.Type == TaskStateEntered && e.StateEntered != nil && e.StateEntered.Name == state {
			v = &visit{StateResult: StateResult{Input: json.RawMessage(e.StateEntered.Input)}}
		}
		if v == nil {
			continue
		}
		switch {
		case e.TaskScheduled != nil:
			v.Parameters, v.done = json.RawMessage(e.TaskScheduled.Parameters), false
		case e.LambdaScheduled != nil:
			v.Parameters, v.done = json.RawMessage(e.LambdaScheduled.Input), false
		case e.ActivityScheduled != nil:
			v.Parameters, v.done = json.RawMessage(e.ActivityScheduled.Input), false
		case e.Type == TaskSucceeded, e.Type == LambdaFunctionSucceeded, e.Type == ActivitySucceeded:
			v.done = true
		case e.StateExited != nil:
			if v.done {
				v.Output, v.Exited = json.RawMessage(e.StateExited.Output), e.Timestamp
				last, found = v.StateResult, true
			}
			continue // what follows is another state
		}
		visits[e.ID] = v
	}
	return last, found
}
