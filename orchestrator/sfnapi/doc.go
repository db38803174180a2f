// Package sfnapi serves the API of AWS Step Functions for the embedded engine,
// so that the AWS CLI and every SDK work against it.
//
// It speaks AWS JSON 1.0: a POST whose X-Amz-Target names the operation. It
// answers with the errors, codes and messages that the service has been seen to
// answer.
//
// It promises: what was answered is durable in the journal, and a restart keeps
// it; an execution is started once however often its start is asked for; every
// change of an execution's status becomes one event, however often the process
// ends in between; a request of any size or shape costs bounded memory.
//
// ARNs are told with the configured region and account, and understood with any:
// a definition that names a real account works here. Executing is left to
// package engine; the runs of policies are shown, and changed by nobody here.
package sfnapi
