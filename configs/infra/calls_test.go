package infra_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

const services = "github.com/aws/aws-sdk-go-v2/service/"

// clients are those of the SDK's packages.
var clients = map[string]reflect.Type{
	"cloudwatch":  reflect.TypeFor[*cloudwatch.Client](),
	"eventbridge": reflect.TypeFor[*eventbridge.Client](),
	"s3":          reflect.TypeFor[*s3.Client](),
	"sfn":         reflect.TypeFor[*sfn.Client](),
	"sns":         reflect.TypeFor[*sns.Client](),
	"sqs":         reflect.TypeFor[*sqs.Client](),
	"sts":         reflect.TypeFor[*sts.Client](),
}

// TestCalls holds the code to the table of its calls: whatever names an operation
// of a client, in a package that imports the client's, has to be there.
func TestCalls(t *testing.T) {
	root := os.DirFS(filepath.Join("..", ".."))
	packages := map[string][]*ast.File{}
	err := fs.WalkDir(root, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			// Packages for tests, such as sqstest, are named for it.
			if base := path.Base(name); name != "." && (strings.HasPrefix(base, "test") || strings.HasSuffix(base, "test") || strings.HasPrefix(base, ".")) {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		text, err := fs.ReadFile(root, name)
		if err != nil {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, text, 0)
		packages[path.Dir(name)] = append(packages[path.Dir(name)], file)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for folder, files := range packages {
		for _, call := range callsOf(t, folder, files) {
			seen[call] = true
			if _, ok := calls()[call]; !ok {
				t.Errorf("%s calls %s, which the table of calls does not have: add it there, with what IAM asks for it, and to the needs of its part", folder, call)
			}
		}
	}
	if !seen["sqs.ReceiveMessage"] || !seen["sts.AssumeRole"] {
		t.Errorf("found %v; the calls of triggers/sqs and of cloud are missing: the test does not see", seen)
	}
}

// TestCallsAreSeen shows ways to call to the test itself.
func TestCallsAreSeen(t *testing.T) {
	for code, want := range map[string]string{
		`package p; import api "` + services + `s3"; func f(c *api.Client) { c.DeleteObject(nil, nil) }`:                "s3.DeleteObject",
		`package p; import "` + services + `s3"; func f(c *s3.Client) any { return c.DeleteObject }`:                    "s3.DeleteObject",
		`package p; import "` + services + `s3"; func f(c *s3.Client) { s3.NewListObjectsV2Paginator(c, nil) }`:         "s3.ListObjectsV2",
		`package p; import "github.com/aws/aws-sdk-go-v2/credentials/stscreds"; var x = stscreds.NewAssumeRoleProvider`: "sts.AssumeRole",
	} {
		file, err := parser.ParseFile(token.NewFileSet(), "p.go", code, 0)
		if err != nil {
			t.Fatal(err)
		}
		if got := callsOf(t, "p", []*ast.File{file}); len(got) != 1 || got[0] != want {
			t.Errorf("calls of %s: %v, want %s", code, got, want)
		}
	}
}

// callsOf are the operations that a package names.
func callsOf(t *testing.T, folder string, files []*ast.File) (calls []string) {
	used := map[string]reflect.Type{}
	for _, f := range files {
		for _, spec := range f.Imports {
			imported, _ := strconv.Unquote(spec.Path.Value) // a parsed literal
			name, ok := strings.CutPrefix(imported, services)
			if name = strings.TrimSuffix(name, "/types"); !ok {
				continue
			}
			if clients[name] == nil {
				t.Errorf("%s imports %s, which this test does not know: add its client", folder, imported)
				continue
			}
			used[name] = clients[name]
		}
	}
	found := map[string]bool{}
	add := func(call string) {
		if !found[call] {
			found[call] = true
			calls = append(calls, call)
		}
	}
	for _, f := range files {
		ast.Inspect(f, func(n ast.Node) bool {
			selector, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			name := selector.Sel.Name
			if name == "NewAssumeRoleProvider" {
				add("sts.AssumeRole")
			}
			if inner, ok := strings.CutPrefix(name, "New"); ok {
				if op, ok := strings.CutSuffix(inner, "Paginator"); ok {
					name = op
				}
			}
			for service, client := range used {
				if _, ok := client.MethodByName(name); ok && name != "Options" {
					add(service + "." + name)
				}
			}
			return true
		})
	}
	return calls
}

// calls are the operations of the SDK that the code makes, as SERVICE.Operation by
// the names of the SDK's packages, and what IAM asks for them.
func calls() map[string][]string {
	return map[string][]string{
		"sqs.ReceiveMessage":               {"sqs:ReceiveMessage"},
		"sqs.DeleteMessageBatch":           {"sqs:DeleteMessage"},
		"sqs.ChangeMessageVisibilityBatch": {"sqs:ChangeMessageVisibility"},
		"sqs.GetQueueAttributes":           {"sqs:GetQueueAttributes"},

		"s3.ListObjectsV2":           {"s3:ListBucket"},
		"s3.HeadBucket":              {"s3:ListBucket"},
		"s3.HeadObject":              {"s3:GetObject", "s3:GetObjectVersion"},
		"s3.GetObject":               {"s3:GetObject", "s3:GetObjectVersion"},
		"s3.PutObject":               {"s3:PutObject"},
		"s3.CopyObject":              {"s3:GetObject", "s3:GetObjectVersion", "s3:PutObject"},
		"s3.CreateMultipartUpload":   {"s3:PutObject"},
		"s3.UploadPart":              {"s3:PutObject"},
		"s3.UploadPartCopy":          {"s3:GetObject", "s3:GetObjectVersion", "s3:PutObject"},
		"s3.CompleteMultipartUpload": {"s3:PutObject"},
		"s3.AbortMultipartUpload":    {"s3:AbortMultipartUpload"},
		"s3.DeleteObject":            {"s3:DeleteObject"},
		"s3.DeleteObjects":           {"s3:DeleteObject"},

		"cloudwatch.DescribeAlarms":       {"cloudwatch:DescribeAlarms"},
		"cloudwatch.DescribeAlarmHistory": {"cloudwatch:DescribeAlarmHistory"},
		"cloudwatch.GetMetricData":        {"cloudwatch:GetMetricData"},
		"cloudwatch.PutMetricData":        {"cloudwatch:PutMetricData"},

		"sfn.StartExecution":       {"states:StartExecution"},
		"sfn.StartSyncExecution":   {"states:StartSyncExecution"},
		"sfn.ListExecutions":       {"states:ListExecutions"},
		"sfn.DescribeStateMachine": {"states:DescribeStateMachine"},
		"sfn.DescribeExecution":    {"states:DescribeExecution"},
		"sfn.GetExecutionHistory":  {"states:GetExecutionHistory"},
		"sfn.StopExecution":        {"states:StopExecution"},
		"sfn.RedriveExecution":     {"states:RedriveExecution"},

		"sns.Publish":                  {"sns:Publish"},
		"sns.PublishBatch":             {"sns:Publish"},
		"sns.GetTopicAttributes":       {"sns:GetTopicAttributes"},
		"eventbridge.PutEvents":        {"events:PutEvents"},
		"eventbridge.DescribeEventBus": {"events:DescribeEventBus"},

		"sts.AssumeRole":        {"sts:AssumeRole"},
		"sts.GetCallerIdentity": nil, // nobody is refused it
	}
}
