package sfnapi

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// answers are what integrations answer, for those that pipelines mock most: the
// members, ! where one is always there, with what they are: s a text, n a number,
// b true or false, * anything, [x] an array of x, {…} an object; >n is the least a
// number or the length of a text may be, (a|b) are the texts that it may be. They
// are of the services' API references. What is not told of is not checked.
var answers = map[string]string{
	"lambda:invoke":              "StatusCode:n FunctionError:s LogResult:s Payload:* ExecutedVersion:s",
	"states:startExecution":      "ExecutionArn!:s>1 StartDate!:s",
	"events:putEvents":           "FailedEntryCount:n Entries:[{EventId:s ErrorCode:s ErrorMessage:s}]",
	"sns:publish":                "MessageId:s SequenceNumber:s",
	"sqs:sendMessage":            "MD5OfMessageBody:s MD5OfMessageAttributes:s MD5OfMessageSystemAttributes:s MessageId:s SequenceNumber:s",
	"dynamodb:getItem":           "Item:{*} " + consumed,
	"dynamodb:putItem":           written,
	"dynamodb:updateItem":        written,
	"dynamodb:deleteItem":        written,
	"batch:submitJob":            "JobArn:s JobName!:s JobId!:s",
	"glue:startJobRun":           "JobRunId:s>1",
	"ecs:runTask":                "Tasks:[{TaskArn:s ClusterArn:s LastStatus:s}] Failures:[{Arn:s Reason:s Detail:s}]",
	"athena:startQueryExecution": "QueryExecutionId:s>1",

	"sagemaker:createTrainingJob":    "TrainingJobArn!:s",
	"sagemaker:createProcessingJob":  "ProcessingJobArn!:s",
	"sagemaker:createTransformJob":   "TransformJobArn!:s",
	"sagemaker:createModel":          "ModelArn!:s>20",
	"sagemaker:createEndpoint":       "EndpointArn!:s>20",
	"sagemaker:createEndpointConfig": "EndpointConfigArn!:s>20",

	"aws-sdk:sfn:startExecution":            "ExecutionArn!:s>1 StartDate!:s",
	"aws-sdk:dynamodb:getItem":              "Item:{*} " + consumed,
	"aws-sdk:dynamodb:putItem":              written,
	"aws-sdk:lambda:invoke":                 "StatusCode:n FunctionError:s LogResult:s Payload:* ExecutedVersion:s",
	"aws-sdk:lambda:getFunction":            "Configuration:{FunctionName:s FunctionArn:s Runtime:s Role:s Handler:s CodeSize:n Description:s Timeout:n>1 MemorySize:n>128 LastModified:s CodeSha256:s Version:s} Code:{RepositoryType:s Location:s ImageUri:s ResolvedImageUri:s} Tags:{*} Concurrency:{ReservedConcurrentExecutions:n>0}",
	"aws-sdk:kms:encrypt":                   "CiphertextBlob:s>1 KeyId:s>1 EncryptionAlgorithm:s(SYMMETRIC_DEFAULT|RSAES_OAEP_SHA_1|RSAES_OAEP_SHA_256|SM2PKE)",
	"aws-sdk:kms:decrypt":                   "KeyId:s>1 Plaintext:s>1 EncryptionAlgorithm:s(SYMMETRIC_DEFAULT|RSAES_OAEP_SHA_1|RSAES_OAEP_SHA_256|SM2PKE)",
	"aws-sdk:s3:getObject":                  "Body:* DeleteMarker:b AcceptRanges:s Expiration:s Restore:s LastModified:s ContentLength:n ETag:s VersionId:s CacheControl:s ContentDisposition:s ContentEncoding:s ContentLanguage:s ContentRange:s ContentType:s Metadata:{*} PartsCount:n TagCount:n StorageClass:s(" + storageClasses + ")",
	"aws-sdk:s3:putObject":                  "Expiration:s ETag:s VersionId:s Size:n",
	"aws-sdk:secretsmanager:getSecretValue": "ARN:s>20 Name:s>1 VersionId:s>32 SecretBinary:s SecretString:s>1 VersionStages:[s] CreatedDate:s",
}

const (
	consumed       = "ConsumedCapacity:{TableName:s>1 CapacityUnits:n ReadCapacityUnits:n WriteCapacityUnits:n Table:{ReadCapacityUnits:n WriteCapacityUnits:n CapacityUnits:n}}"
	written        = "Attributes:{*} " + consumed + " ItemCollectionMetrics:{*}"
	storageClasses = "STANDARD|REDUCED_REDUNDANCY|STANDARD_IA|ONEZONE_IA|INTELLIGENT_TIERING|GLACIER|DEEP_ARCHIVE|OUTPOSTS|GLACIER_IR|SNOW|EXPRESS_ONEZONE|FSX_OPENZFS"
)

// checkResult says where a mocked result is not what the integration answers;
// strict, a member that is always there may not be missing.
func checkResult(resource string, result []byte, strict bool) string {
	rest, ok := strings.CutPrefix(resource, "arn:aws:states:::")
	integration, _, _ := strings.Cut(rest, ".")
	spec, known := answers[integration]
	if !ok || !known || strings.Contains(rest, ".sync") || strings.Contains(rest, ".waitForTaskToken") {
		return ""
	}
	c := schemaReader{rest: spec + "}", strict: strict}
	return c.object(json.RawMessage(result), "Result")
}

// A schemaReader reads what a value should be, and holds the value to it.
type schemaReader struct {
	rest   string
	strict bool
}

// take takes the next letter if it is c.
func (s *schemaReader) take(c string) bool {
	rest, ok := strings.CutPrefix(s.rest, c)
	s.rest = rest
	return ok
}

func (s *schemaReader) until(stops string) string {
	i := strings.IndexAny(s.rest, stops)
	word := s.rest[:i]
	s.rest = s.rest[i:]
	return word
}

// object holds a value to the members up to the brace; a value that is nil is
// read past. It answers the first thing that is wrong.
func (s *schemaReader) object(value json.RawMessage, name string) (problem string) {
	var members map[string]json.RawMessage
	if value != nil && json.Unmarshal(value, &members) != nil {
		problem = fmt.Sprintf("Field '%s' must be an object", name)
	}
	if s.take("*}") {
		return problem
	}
	for !s.take("}") {
		member := s.until(":!")
		required := s.take("!")
		s.take(":")
		v := members[member]
		p := s.value(v, member)
		if v == nil && members != nil && required && s.strict {
			p = fmt.Sprintf("Required field '%s' is missing", member)
		}
		if problem == "" {
			problem = p
		}
		s.take(" ")
	}
	return problem
}

// value holds one value to what is written of it.
func (s *schemaReader) value(v json.RawMessage, name string) string {
	if string(v) == "null" {
		v = nil
	}
	switch {
	case s.take("*"):
		return ""
	case s.take("{"):
		return s.object(v, name)
	case s.take("["):
		return s.array(v, name)
	case s.take("b"):
		var b bool
		if v != nil && json.Unmarshal(v, &b) != nil {
			return fmt.Sprintf("Field '%s' must be a boolean", name)
		}
		return ""
	}
	number := s.take("n")
	if !number {
		s.take("s")
	}
	least, values := -1, []string(nil)
	if s.take(">") {
		least, _ = strconv.Atoi(s.until(" }]")) // it is a number
	}
	if s.take("(") {
		values = strings.Split(s.until(")"), "|")
		s.take(")")
	}
	if v == nil {
		return ""
	}
	if number {
		var n float64
		switch {
		case json.Unmarshal(v, &n) != nil:
			return fmt.Sprintf("Field '%s' must be a number", name)
		case least >= 0 && n < float64(least):
			return fmt.Sprintf("Field '%s' is less than the minimum value", name)
		}
		return ""
	}
	var text string
	switch {
	case json.Unmarshal(v, &text) != nil:
		return fmt.Sprintf("Field '%s' must be a string", name)
	case utf8.RuneCountInString(text) < least:
		return fmt.Sprintf("Field '%s' is smaller than the minimum length", name)
	case values != nil && !slices.Contains(values, text):
		return fmt.Sprintf("Field '%s' is not an expected value", name)
	}
	return ""
}

func (s *schemaReader) array(v json.RawMessage, name string) (problem string) {
	var items []json.RawMessage
	if v != nil && json.Unmarshal(v, &items) != nil {
		problem = fmt.Sprintf("Field '%s' must be an array", name)
	}
	begin := s.rest
	s.value(nil, name)
	for _, item := range items {
		one := schemaReader{rest: begin, strict: s.strict}
		if p := one.value(item, name); problem == "" {
			problem = p
		}
	}
	s.take("]")
	return problem
}
