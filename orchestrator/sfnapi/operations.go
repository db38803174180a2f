package sfnapi

// Lengths that many fields have.
const (
	maxARN   = 256
	maxPage  = 1000
	longPage = 3096 // a token of ListExecutions, whose filters are in it
)

func arnField(name string) field { return text(name, 1, maxARN).must() }

func paged(most int) []field {
	return []field{number("maxResults", 0, maxPage), text("nextToken", 1, most)}
}

var typeField = oneOf("type", typeStandard, typeExpress)

// definitionField is the text of a definition.
func definitionField() field { return text("definition", 1, 1<<20) }

// operations are those of the service, by name.
var operations = map[string]operation{
	"CreateStateMachine": op((*Server).createStateMachine,
		text("name", 1, 80).must(), definitionField().must(), text("roleArn", 1, maxARN).must(), typeField, text("versionDescription", 0, 256)),
	"UpdateStateMachine": op((*Server).updateStateMachine,
		arnField("stateMachineArn"), definitionField(), text("roleArn", 1, maxARN), text("versionDescription", 0, 256)),
	"DescribeStateMachine":           op((*Server).describeStateMachine, arnField("stateMachineArn"), includedField),
	"ListStateMachines":              op((*Server).listStateMachines, paged(maxToken)...),
	"DeleteStateMachine":             op((*Server).deleteStateMachine, arnField("stateMachineArn")),
	"ValidateStateMachineDefinition": op((*Server).validateStateMachineDefinition, definitionField().must(), typeField, oneOf("severity", "ERROR", "WARNING"), number("maxResults", 0, 100)),
	"TestState":                      op((*Server).testState, definitionField().must(), text("roleArn", 1, maxARN), text("stateName", 1, 80), oneOf("inspectionLevel", "INFO", "DEBUG", "TRACE")),

	"PublishStateMachineVersion": op((*Server).publishStateMachineVersion, arnField("stateMachineArn"), text("description", 0, 256)),
	"ListStateMachineVersions":   op((*Server).listStateMachineVersions, append(paged(maxToken), arnField("stateMachineArn"))...),
	"DeleteStateMachineVersion":  op((*Server).deleteStateMachineVersion, text("stateMachineVersionArn", 1, 2000).must()),
	"CreateStateMachineAlias":    op((*Server).createStateMachineAlias, text("name", 1, 80).must(), list("routingConfiguration", 1, 2).must(), text("description", 0, 256)),
	"UpdateStateMachineAlias":    op((*Server).updateStateMachineAlias, arnField("stateMachineAliasArn"), list("routingConfiguration", 1, 2), text("description", 0, 256)),
	"DescribeStateMachineAlias":  op((*Server).describeStateMachineAlias, arnField("stateMachineAliasArn")),
	"ListStateMachineAliases":    op((*Server).listStateMachineAliases, append(paged(maxToken), arnField("stateMachineArn"))...),
	"DeleteStateMachineAlias":    op((*Server).deleteStateMachineAlias, arnField("stateMachineAliasArn")),

	"StartExecution":     op((*Server).startExecution, arnField("stateMachineArn"), text("name", 1, 80), text("traceHeader", 0, 256)),
	"StartSyncExecution": op((*Server).startSyncExecution, arnField("stateMachineArn"), text("name", 1, 80), text("traceHeader", 0, 256), includedField),
	"DescribeExecution":  op((*Server).describeExecution, arnField("executionArn"), includedField),
	"ListExecutions": op((*Server).listExecutions, append(paged(longPage), text("stateMachineArn", 1, maxARN), text("mapRunArn", 1, 2000),
		oneOf("statusFilter", "SUCCEEDED", "TIMED_OUT", "PENDING_REDRIVE", "ABORTED", "FAILED", "RUNNING"), oneOf("redriveFilter", "REDRIVEN", "NOT_REDRIVEN"))...),
	"GetExecutionHistory":              op((*Server).getExecutionHistory, append(paged(maxToken), arnField("executionArn"))...),
	"StopExecution":                    op((*Server).stopExecution, arnField("executionArn"), text("error", 0, 256), text("cause", 0, 32768)),
	"RedriveExecution":                 op((*Server).redriveExecution, arnField("executionArn"), text("clientToken", 1, 64)),
	"DescribeStateMachineForExecution": op((*Server).describeStateMachineForExecution, arnField("executionArn"), includedField),

	"ListMapRuns":    op((*Server).listMapRuns, append(paged(maxToken), arnField("executionArn"))...),
	"DescribeMapRun": op((*Server).describeMapRun, text("mapRunArn", 1, 2000).must()),
	"UpdateMapRun":   op((*Server).updateMapRun, text("mapRunArn", 1, 2000).must()),

	"SendTaskSuccess":   op((*Server).sendTaskSuccess, text("taskToken", 1, 2048).must(), text("output", 0, 262144).must()),
	"SendTaskFailure":   op((*Server).sendTaskFailure, text("taskToken", 1, 2048).must(), text("error", 0, 256), text("cause", 0, 32768)),
	"SendTaskHeartbeat": op((*Server).sendTaskHeartbeat, text("taskToken", 1, 2048).must()),

	"CreateActivity":   op((*Server).createActivity, text("name", 1, 80).must()),
	"DescribeActivity": op((*Server).describeActivity, arnField("activityArn")),
	"ListActivities":   op((*Server).listActivities, paged(maxToken)...),
	"DeleteActivity":   op((*Server).deleteActivity, arnField("activityArn")),
	"GetActivityTask":  op((*Server).getActivityTask, arnField("activityArn"), text("workerName", 1, 80)),

	"TagResource":         op((*Server).tagResource, arnField("resourceArn"), list("tags", 0, 0).must()),
	"UntagResource":       op((*Server).untagResource, arnField("resourceArn"), list("tagKeys", 0, 0).must()),
	"ListTagsForResource": op((*Server).listTagsForResource, arnField("resourceArn")),
}

var includedField = oneOf("includedData", "ALL_DATA", "METADATA_ONLY")
