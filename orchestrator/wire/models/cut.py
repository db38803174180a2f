"""Cuts the files beside it out of AWS's own API models, as botocore has them.

    python3 cut.py

One operation or shape a line. Kept is what a request is written with and an answer
read with: where each member stands and by what name. A member is written
`shape place name`, where the place is body (the default, and then the name may be
missing), uri, query, header, headers (a prefix) or status. Scalars are written by
their kind, times with their format. Operations with event streams are left out.
"""
import json
import botocore
from botocore.loaders import Loader

SERVICES = {  # as Step Functions calls it: as botocore does
    "s3": "s3", "dynamodb": "dynamodb", "sfn": "stepfunctions", "kms": "kms", "lambda": "lambda",
    "secretsmanager": "secretsmanager", "sqs": "sqs", "sns": "sns", "eventbridge": "events", "cloudwatchlogs": "logs",
}
SCALARS = {"string": "string", "character": "string", "integer": "integer", "long": "integer", "float": "number",
           "double": "number", "boolean": "boolean", "blob": "blob"}
PLACES = {"uri": "uri", "querystring": "query", "header": "header", "headers": "headers", "statusCode": "status"}


# Errors that every service may answer with whatever its model says: an exception only of
# the operations that have it.
COMMON = {"AccessDenied", "AccessDeniedException", "AuthorizationError", "InternalFailure", "InternalServerException", "Throttling", "ThrottlingException",
          "ThrottledException", "ServiceUnavailable", "ServiceUnavailableException", "ValidationError", "ValidationException"}


def code(model, shape):
    """What an error is called on the wire."""
    return model["shapes"][shape].get("error", {}).get("code", shape)


def line(value):
    return json.dumps(value, separators=(",", ":"))


def streams(model, name, seen=()):
    """Whether a shape has an event stream in it."""
    shape = model["shapes"].get(name, {})
    if name in seen:
        return False
    inner = [m["shape"] for m in shape.get("members", {}).values()]
    return shape.get("eventstream", False) or any(streams(model, i, (*seen, name)) for i in inner)


def kind(model, target, place, protocol):
    """How a member is written whose type is a scalar; else None."""
    shape = model["shapes"][target["shape"]]
    if shape["type"] == "timestamp":
        form = target.get("timestampFormat") or shape.get("timestampFormat")
        if not form:
            form = "rfc822" if place == "header" else "iso8601" if protocol in ("rest-xml", "query") or place == "query" else "unixTimestamp"
        return "time:" + form
    if target.get("jsonvalue") or shape.get("jsonvalue"):
        return "json"
    return SCALARS.get(shape["type"])


def cut(model, name, into, protocol):
    if name in into:
        return
    shape = model["shapes"][name]
    out = into[name] = {"type": {"structure": "object", "list": "array"}.get(shape["type"], shape["type"])}
    if shape["type"] == "structure":
        out["members"] = {}
        for member, target in shape["members"].items():
            place = PLACES.get(target.get("location"), "body")
            written = target.get("locationName")
            inner = model["shapes"][target["shape"]]
            if protocol in ("rest-xml", "query") and (inner.get("flattened") or target.get("flattened")):
                place = "flat"
                if inner["type"] == "list":
                    written = written or inner["member"].get("locationName")
            if target.get("xmlAttribute"):
                place = "attribute"
            scalar = kind(model, target, place, protocol)
            if not scalar:
                cut(model, target["shape"], into, protocol)
            text = scalar or target["shape"]
            large = member[:1].upper() + member[1:]
            if place != "body" or (written or member) != large:
                text += " " + place + " " + (written or member)
            out["members"][large] = text
        if shape.get("payload"):
            out["payload"] = shape["payload"][:1].upper() + shape["payload"][1:]
            if "xmlNamespace" in shape["members"][shape["payload"]]:
                out["namespace"] = shape["members"][shape["payload"]]["xmlNamespace"]["uri"]
    else:
        value = shape["member"] if shape["type"] == "list" else shape["value"]
        out["of"] = kind(model, value, "body", protocol)
        if not out["of"]:
            out["of"] = value["shape"]
            cut(model, value["shape"], into, protocol)
        if value.get("locationName"):
            out["item"] = value["locationName"]
        if shape["type"] == "map" and shape["key"].get("locationName"):
            out["key"] = shape["key"]["locationName"]


for file, service in SERVICES.items():
    model = Loader().load_service_model(service, "service-2")
    meta = model["metadata"]
    protocol = meta["protocol"]
    operations, shapes, errors = {}, {}, {}
    for name, op in sorted(model["operations"].items()):
        ends = [op[way]["shape"] for way in ("input", "output") if way in op]
        if any(streams(model, end) for end in ends):
            continue
        call = {"name": op["name"]}
        for way, end in (("in", "input"), ("out", "output")):
            if end in op:
                call[way] = op[end]["shape"]
                cut(model, op[end]["shape"], shapes, protocol)
        if op["http"]["method"] != "POST":
            call["method"] = op["http"]["method"]
        if op["http"]["requestUri"] != "/":
            call["uri"] = op["http"]["requestUri"]
        if "output" in op and op["output"].get("resultWrapper"):
            call["wrapper"] = op["output"]["resultWrapper"]
        if "input" in op and protocol == "rest-xml":
            root = op["input"].get("locationName")
            if root:
                call["root"] = root
            if op["input"].get("xmlNamespace"):
                call["namespace"] = op["input"]["xmlNamespace"]["uri"]
        if op.get("httpChecksum", {}).get("requestAlgorithmMember") and not (
                op["httpChecksum"].get("requestChecksumRequired") is False and op["name"] not in ("PutObject", "UploadPart")):
            call["checksum"] = True
        if op.get("staticContextParams", {}).get("UseObjectLambdaEndpoint") or op["name"] in ("CreateSession", "ListDirectoryBuckets"):
            continue
        operations[name[:1].lower() + name[1:]] = call
        common = [code(model, e["shape"]) for e in op.get("errors", []) if code(model, e["shape"]) in COMMON]
        if common:
            call["errors"] = sorted(common)
        for e in op.get("errors", []):
            errors[code(model, e["shape"])] = e["shape"]
    for e, shape in model["shapes"].items():
        if shape.get("exception"):
            errors.setdefault(code(model, e), e)
    used, todo = set(), [c[w] for c in operations.values() for w in ("in", "out") if w in c]
    while todo:
        name = todo.pop()
        if name in used or name not in shapes:
            continue
        used.add(name)
        todo += [m.split(" ")[0] for m in shapes[name].get("members", {}).values()] + [shapes[name].get("of", "")]
    head = {"source": "botocore %s, Apache-2.0" % botocore.__version__, "id": meta["serviceId"], "protocol": protocol,
            "host": meta["endpointPrefix"], "signing": meta.get("signingName", meta["endpointPrefix"]), "version": meta["apiVersion"]}
    if "targetPrefix" in meta:
        head["target"], head["json"] = meta["targetPrefix"], meta["jsonVersion"]
    with open(file + ".json", "w") as f:
        f.write(line(head)[:-1] + ',\n"errors":%s,\n"operations":{\n' % line(dict(sorted(errors.items()))))
        f.write(",\n".join(line(n) + ":" + line(c) for n, c in sorted(operations.items())))
        f.write('\n},\n"shapes":{\n')
        f.write(",\n".join(line(n) + ":" + line(shapes[n]) for n in sorted(used)))
        f.write("\n}}\n")
