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


def machine(name, definition, **more):
    return sfn.create_state_machine(name=name, definition=json.dumps(definition), roleArn=role, **more)["stateMachineArn"]


def ended(arn):
    for _ in range(200):
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
x = sfn.start_execution(stateMachineArn=arn, name="x", input='{"a": 1}')
assert (x["executionArn"], ended(x["executionArn"])["error"]) == (arn.replace(":stateMachine:", ":execution:") + ":x", "E")
refused("ExecutionAlreadyExists", sfn.start_execution, stateMachineArn=arn, name="x", input='{"a": 2}')
refused("StateMachineDoesNotExist", sfn.start_execution, stateMachineArn=arn + "no")
refused("InvalidName", sfn.create_state_machine, name="a b", definition="{}", roleArn=role)
history = [e for page in sfn.get_paginator("get_execution_history").paginate(executionArn=x["executionArn"], PaginationConfig={"PageSize": 1}) for e in page["events"]]
assert [e["type"] for e in history] == ["ExecutionStarted", "FailStateEntered", "ExecutionFailed"], history
if "RedriveExecution" in knows:
    sfn.redrive_execution(executionArn=x["executionArn"])
    assert ended(x["executionArn"])["redriveCount"] == 1
if "TestState" in knows:
    assert sfn.test_state(definition='{"Type": "Pass", "Result": {"b": 2}, "End": true}', roleArn=role, inspectionLevel="DEBUG")["output"] == '{"b":2}'
if "PublishStateMachineVersion" in knows:
    version = sfn.publish_state_machine_version(stateMachineArn=arn)["stateMachineVersionArn"]
    alias = sfn.create_state_machine_alias(name="live", routingConfiguration=[{"stateMachineVersionArn": version, "weight": 100}])
    assert ended(sfn.start_execution(stateMachineArn=alias["stateMachineAliasArn"])["executionArn"])["status"] == "FAILED"
    sfn.delete_state_machine_alias(stateMachineAliasArn=alias["stateMachineAliasArn"])

work = sfn.create_activity(name=run + "-work")["activityArn"]
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
