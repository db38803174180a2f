"""What people do with boto3's client of Step Functions."""
import json
import os
import time

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

run = os.environ["RUN"]
role = "arn:aws:iam::123456789012:role/client"
# Without this the host of TestState would be one that no local name has.
sfn = boto3.client("stepfunctions", endpoint_url=os.environ["ENDPOINT"], config=Config(inject_host_prefix=False))
knows = sfn.meta.service_model.operation_names  # an old client lacks what is younger
used = set()
sfn.meta.events.register("before-call.stepfunctions", lambda model, **_: used.add(model.name))


def machine(name, definition, **more):
    return sfn.create_state_machine(name=name, definition=json.dumps(definition), roleArn=role, **more)["stateMachineArn"]


def ended(arn):
    for _ in range(2400):
        d = sfn.describe_execution(executionArn=arn)
        if d["status"] != "RUNNING":
            return d
        time.sleep(0.05)
    raise SystemExit("still running: " + arn)


def refused(code, call, **params):
    try:
        call(**params)
    except ClientError as e:
        assert e.response["Error"]["Code"] == code, e
    else:
        raise SystemExit("not refused: " + code)


arn = machine(run, {"StartAt": "A", "States": {"A": {"Type": "Fail", "Error": "E", "Cause": "why"}}}, tags=[{"key": "team", "value": "ml"}])
assert sfn.describe_state_machine(stateMachineArn=arn)["name"] == run
assert sfn.list_tags_for_resource(resourceArn=arn)["tags"] == [{"key": "team", "value": "ml"}]
sfn.tag_resource(resourceArn=arn, tags=[{"key": "cost", "value": "1"}])
sfn.untag_resource(resourceArn=arn, tagKeys=["team"])
assert sfn.list_tags_for_resource(resourceArn=arn)["tags"] == [{"key": "cost", "value": "1"}]
listed = [m["name"] for page in sfn.get_paginator("list_state_machines").paginate(PaginationConfig={"PageSize": 1}) for m in page["stateMachines"]]
assert run in listed and len(listed) == len(set(listed)), listed
x = sfn.start_execution(stateMachineArn=arn, name="x", input='{"a": 1}')
assert (x["executionArn"], ended(x["executionArn"])["error"]) == (arn.replace(":stateMachine:", ":execution:") + ":x", "E")
refused("ExecutionAlreadyExists", sfn.start_execution, stateMachineArn=arn, name="x", input='{"a": 2}')
refused("StateMachineDoesNotExist", sfn.start_execution, stateMachineArn=arn + "no")
refused("InvalidName", sfn.create_state_machine, name="a b", definition="{}", roleArn=role)
history = [e for page in sfn.get_paginator("get_execution_history").paginate(executionArn=x["executionArn"], PaginationConfig={"PageSize": 1}) for e in page["events"]]
assert [e["type"] for e in history] == ["ExecutionStarted", "FailStateEntered", "ExecutionFailed"], history
listed = [e["name"] for page in sfn.get_paginator("list_executions").paginate(stateMachineArn=arn, statusFilter="FAILED") for e in page["executions"]]
assert listed == ["x"], listed
assert sfn.describe_state_machine_for_execution(executionArn=x["executionArn"])["stateMachineArn"] == arn
sfn.update_state_machine(stateMachineArn=arn, roleArn=role + "2")
if "RedriveExecution" in knows:
    sfn.redrive_execution(executionArn=x["executionArn"])
    assert ended(x["executionArn"])["redriveCount"] == 1
if "TestState" in knows:
    assert sfn.test_state(definition='{"Type": "Pass", "Result": {"b": 2}, "End": true}', roleArn=role, inspectionLevel="DEBUG")["output"] == '{"b":2}'
if "ValidateStateMachineDefinition" in knows:
    assert sfn.validate_state_machine_definition(definition="{}")["result"] == "FAIL"
if "PublishStateMachineVersion" in knows:
    version = sfn.publish_state_machine_version(stateMachineArn=arn)["stateMachineVersionArn"]
    alias = sfn.create_state_machine_alias(name="live", routingConfiguration=[{"stateMachineVersionArn": version, "weight": 100}])
    assert ended(sfn.start_execution(stateMachineArn=alias["stateMachineAliasArn"])["executionArn"])["status"] == "FAILED"
    of_alias = sfn.describe_state_machine_alias(stateMachineAliasArn=alias["stateMachineAliasArn"])
    assert of_alias["routingConfiguration"] == [{"stateMachineVersionArn": version, "weight": 100}], of_alias
    sfn.update_state_machine_alias(stateMachineAliasArn=alias["stateMachineAliasArn"], description="what runs")
    assert len(sfn.list_state_machine_aliases(stateMachineArn=arn)["stateMachineAliases"]) == 1
    refused("ConflictException", sfn.delete_state_machine_version, stateMachineVersionArn=version)
    sfn.delete_state_machine_alias(stateMachineAliasArn=alias["stateMachineAliasArn"])
    sfn.delete_state_machine_version(stateMachineVersionArn=version)
    assert sfn.list_state_machine_versions(stateMachineArn=arn)["stateMachineVersions"] == []

if "ListMapRuns" in knows:
    spread = machine(run + "-map", {"StartAt": "M", "States": {"M": {"Type": "Map", "End": True, "ItemProcessor": {
        "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}, "StartAt": "W", "States": {"W": {"Type": "Wait", "Seconds": 600, "End": True}}}}}})
    x = sfn.start_execution(stateMachineArn=spread, input="[1, 2, 3]")["executionArn"]
    for _ in range(2400):
        runs = [r for page in sfn.get_paginator("list_map_runs").paginate(executionArn=x) for r in page["mapRuns"]]
        if runs and sfn.describe_map_run(mapRunArn=runs[0]["mapRunArn"])["itemCounts"]["total"] == 3:
            break
        time.sleep(0.05)
    sfn.update_map_run(mapRunArn=runs[0]["mapRunArn"], maxConcurrency=2)
    of_run = sfn.describe_map_run(mapRunArn=runs[0]["mapRunArn"])
    assert (of_run["status"], of_run["maxConcurrency"], of_run["itemCounts"]["total"]) == ("RUNNING", 2, 3), of_run
    sfn.stop_execution(executionArn=x)
    sfn.delete_state_machine(stateMachineArn=spread)

work = sfn.create_activity(name=run + "-work")["activityArn"]
assert sfn.describe_activity(activityArn=work)["name"] == run + "-work"
assert work in [a["activityArn"] for page in sfn.get_paginator("list_activities").paginate(PaginationConfig={"PageSize": 1}) for a in page["activities"]]
worked = machine(run + "-2", {"StartAt": "W", "States": {"W": {"Type": "Task", "Resource": work, "End": True}}})
for answer, status in (("success", "SUCCEEDED"), ("failure", "FAILED")):
    x = sfn.start_execution(stateMachineArn=worked, input='{"job": 1}')["executionArn"]
    task = sfn.get_activity_task(activityArn=work, workerName=run)
    assert json.loads(task["input"]) == {"job": 1}
    sfn.send_task_heartbeat(taskToken=task["taskToken"])
    if answer == "success":
        sfn.send_task_success(taskToken=task["taskToken"], output='"done"')
    else:
        sfn.send_task_failure(taskToken=task["taskToken"], error="Broken", cause="by hand")
    assert ended(x)["status"] == status
x = sfn.start_execution(stateMachineArn=worked, name="stopped")["executionArn"]
sfn.stop_execution(executionArn=x, error="Enough", cause="by hand")
assert (ended(x)["status"], ended(x)["error"]) == ("ABORTED", "Enough")
express = machine(run + "-express", {"StartAt": "P", "States": {"P": {"Type": "Pass", "End": True}}}, type="EXPRESS")
assert sfn.start_sync_execution(stateMachineArn=express, input='{"c":3}')["output"] == '{"c":3}'
sfn.delete_activity(activityArn=work)
for m in (arn, worked, express):
    sfn.delete_state_machine(stateMachineArn=m)
assert used == set(knows), set(knows) - used
print(len(used), "operations")
