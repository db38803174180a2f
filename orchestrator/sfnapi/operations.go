package sfnapi

// operations are those of the service, by name.
var operations = map[string]operation{
	"CreateStateMachine":             op((*Server).createStateMachine),
	"UpdateStateMachine":             op((*Server).updateStateMachine),
	"DescribeStateMachine":           op((*Server).describeStateMachine),
	"ListStateMachines":              op((*Server).listStateMachines),
	"DeleteStateMachine":             op((*Server).deleteStateMachine),
	"ValidateStateMachineDefinition": op((*Server).validateStateMachineDefinition),
	"TestState":                      op((*Server).testState),

	"PublishStateMachineVersion": op((*Server).publishStateMachineVersion),
	"ListStateMachineVersions":   op((*Server).listStateMachineVersions),
	"DeleteStateMachineVersion":  op((*Server).deleteStateMachineVersion),
	"CreateStateMachineAlias":    op((*Server).createStateMachineAlias),
	"UpdateStateMachineAlias":    op((*Server).updateStateMachineAlias),
	"DescribeStateMachineAlias":  op((*Server).describeStateMachineAlias),
	"ListStateMachineAliases":    op((*Server).listStateMachineAliases),
	"DeleteStateMachineAlias":    op((*Server).deleteStateMachineAlias),

	"StartExecution":                   op((*Server).startExecution),
	"StartSyncExecution":               op((*Server).startSyncExecution),
	"DescribeExecution":                op((*Server).describeExecution),
	"ListExecutions":                   op((*Server).listExecutions),
	"GetExecutionHistory":              op((*Server).getExecutionHistory),
	"StopExecution":                    op((*Server).stopExecution),
	"RedriveExecution":                 op((*Server).redriveExecution),
	"DescribeStateMachineForExecution": op((*Server).describeStateMachineForExecution),

	"ListMapRuns":    op((*Server).listMapRuns),
	"DescribeMapRun": op((*Server).describeMapRun),
	"UpdateMapRun":   op((*Server).updateMapRun),

	"SendTaskSuccess":   op((*Server).sendTaskSuccess),
	"SendTaskFailure":   op((*Server).sendTaskFailure),
	"SendTaskHeartbeat": op((*Server).sendTaskHeartbeat),

	"CreateActivity":   op((*Server).createActivity),
	"DescribeActivity": op((*Server).describeActivity),
	"ListActivities":   op((*Server).listActivities),
	"DeleteActivity":   op((*Server).deleteActivity),
	"GetActivityTask":  op((*Server).getActivityTask),

	"TagResource":         op((*Server).tagResource),
	"UntagResource":       op((*Server).untagResource),
	"ListTagsForResource": op((*Server).listTagsForResource),
}
