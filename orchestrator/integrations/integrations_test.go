package integrations

import "testing"

// TestModels compiles what the models hold.
func TestModels(t *testing.T) {
	for name, m := range models() {
		for of, s := range m.Shapes {
			for member, of := range s.Members {
				if of != "" && m.Shapes[of] == nil {
					t.Errorf("%s: %s.%s is of the type %s, which is not there", name, of, member, of)
				}
			}
			if s.Of != "" && m.Shapes[s.Of] == nil {
				t.Errorf("%s: %s is of %s, which is not there", name, of, s.Of)
			}
		}
		for action := range m.Operations {
			if _, ok := services()[name][action]; !ok && m.Actions == nil {
				t.Errorf("%s: %s is no action of the integration", name, action)
			}
		}
	}
}

func TestKnown(t *testing.T) {
	for resource, want := range map[string]bool{
		"arn:aws:lambda:us-east-1:1:function:f":                 true,
		"arn:aws:states:us-east-1:1:activity:a":                 true,
		"arn:aws:states:::lambda:invoke.waitForTaskToken":       true,
		"arn:aws:states:::lambda:invoke.sync":                   false,
		"arn:aws:states:::lambda:invok":                         false,
		"arn:aws:states:::states:startExecution.sync:2":         true,
		"arn:aws:states:::states:startExecution.sync:3":         false,
		"arn:aws:states:::bedrockagentcore:invokeHarness":       true,
		"arn:aws:states:::rekognition:detectFaces":              false,
		"arn:aws:states:::aws-sdk:rekognition:detectFaces":      true,
		"arn:aws:states:::aws-sdk:rekognition:detectFaces.sync": false,
		"arn:aws:states:::aws-sdk:s3:getObject":                 true,
		"arn:aws:states:::aws-sdk:s3:getObjec":                  false,
		"arn:aws:states:::aws-sdk:s3:GetObject":                 false,
		"arn:aws:states:::aws-sdk:s3:somethingOfNextYear":       true,
	} {
		if got := Known(resource); got != want {
			t.Errorf("%s: %t", resource, got)
		}
	}
}
