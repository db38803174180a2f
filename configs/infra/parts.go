package infra

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/anneal-ml/anneal/configs"
	"github.com/anneal-ml/anneal/policy"
)

// parts adds what the settings say of AWS besides queues.
func (o *of) parts() error {
	s := &o.cfg.Settings
	var err error
	if o.d.Store, err = o.store(&s.S3); err != nil {
		return err
	}
	for i, source := range s.Sources {
		if c := source.CloudWatch; c != nil {
			role, err := o.role(c.Role, fmt.Sprintf("sources[%d].cloudwatch.role", i))
			if err != nil {
				return err
			}
			o.d.Alarms = append(o.d.Alarms, Alarms{Names: c.Alarms, Region: c.Region, Role: role})
		}
	}
	if m := s.Metrics.CloudWatch; m != nil {
		role, err := o.role(m.Role, "metrics.cloudwatch.role")
		if err != nil {
			return err
		}
		o.d.Reports = []Report{{Namespace: m.Publisher().WithDefaults().Namespace, Region: m.Region, Role: role}}
	}
	for _, p := range o.cfg.Policies {
		for _, signal := range p.Spec.Spec.Signals {
			if signal.Source != policy.SourceCloudWatch || o.d.Metrics != nil {
				continue
			}
			role, err := o.role(s.CloudWatch.Role, "cloudwatch.role")
			if err != nil {
				return err
			}
			o.d.Metrics = []Metrics{{Region: s.CloudWatch.Region, Role: role}}
		}
	}
	if err := o.tasks(); err != nil {
		return err
	}
	return o.machines()
}

// store is how objects are reached.
func (o *of) store(s *configs.S3) (Store, error) {
	role, err := o.role(s.Role, "s3.role")
	if err != nil || s.KMSKey == (configs.Secret{}) {
		return Store{Region: s.Region, Role: role}, err
	}
	key, name, err := o.nameOf(s.KMSKey, "KMS key", "s3.kmsKey", `[\w-]+`)
	if key = cmp.Or(exactly(key), name); !strings.Contains(key, ":key/") {
		if strings.Contains(key, "alias/") {
			o.doubt("s3.kmsKey is an alias, which IAM has no resource of, so the key's own use is not granted: give the key's ARN")
			key = ""
		} else {
			key = "arn:${AWS::Partition}:kms:${AWS::Region}:${AWS::AccountId}:key/" + key
		}
	}
	return Store{Region: s.Region, Role: role, Key: key}, err
}

// machines adds the state machines that policies run on Step Functions, and the
// rules that tell how their executions go.
func (o *of) machines() error {
	role, err := o.role(o.cfg.Settings.StepFunctions.Role, "stepFunctions.role")
	if err != nil {
		return err
	}
	for _, p := range o.cfg.Policies {
		run := p.Spec.Spec.Run
		if run == nil || run.Executor != policy.ExecutorStepFunctions {
			continue
		}
		arn := p.ARN
		if arn == "" { // of a variable that is not set here
			from, _ := run.StateMachine.ARN.(map[string]any)
			variable, _ := from["env"].(string)
			if variable == "" {
				o.doubt("the state machine of policy %s is not known here, so it may not be run: run this where its ARN is", p.Name())
				continue
			}
			arn = "arn:${AWS::Partition}:states:${AWS::Region}:${AWS::AccountId}:stateMachine:" +
				o.parameter(variable, "state machine", `[\w-]+`)
		}
		machine, _ := Unqualified(arn)
		if i := slices.IndexFunc(o.d.Machines, func(m Machine) bool { return m.ARN == arn }); i >= 0 {
			o.d.Machines[i].Policies = append(o.d.Machines[i].Policies, p.Name())
		} else {
			o.d.Machines = append(o.d.Machines, Machine{ARN: arn, Policies: []string{p.Name()}, Role: role})
		}
		o.rule(Rule{For: []string{"the runs of policy " + p.Name()}, Pattern: policy.Pattern{
			sourcePath:                   {{Is: "==", Value: "aws.states"}},
			typePath:                     {{Is: "==", Value: "Step Functions Execution Status Change"}},
			"event.data.stateMachineArn": {{Is: "==", Value: machine}},
		}})
	}
	return nil
}
