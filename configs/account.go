package configs

import "regexp"

// An Account is whose AWS is asked, and where.
type Account struct {
	Region string `json:"region"` // the environment's if empty
	// Role is the ARN of a role to assume, ExternalID what that role asks for. The
	// daemon's own if empty.
	Role       Secret `json:"role"`
	ExternalID Secret `json:"externalId"`
}

// Accounts are those of all settings that are of AWS.
func (s *Settings) Accounts() []Account {
	all := []Account{s.S3.Account(), s.StepFunctions.Account(), s.CloudWatch}
	if s.Metrics.CloudWatch != nil {
		all = append(all, s.Metrics.CloudWatch.Account())
	}
	for _, source := range s.Sources {
		if source.SQS != nil {
			all = append(all, source.SQS.Account())
		}
		if source.CloudWatch != nil {
			all = append(all, source.CloudWatch.Account())
		}
	}
	for _, name := range sortedKeys(s.Notify) {
		if c := s.Notify[name].SNS; c != nil {
			all = append(all, c.Account())
		}
		if c := s.Notify[name].EventBridge; c != nil {
			all = append(all, c.Account())
		}
	}
	return all
}

var roleARN = regexp.MustCompile(`^arn:aws[a-z-]*:iam::\d{12}:role/.+$`)

func (a Account) check(d *decoder, path string) {
	if a.Role.value != "" && !roleARN.MatchString(a.Role.value) {
		d.add(path+".role", -1, "%q is not the ARN of a role: arn:aws:iam::123456789012:role/NAME", a.Role.value)
	}
	if a.ExternalID != (Secret{}) && a.Role == (Secret{}) {
		d.add(path+".externalId", -1, "an external ID is what a role asks for: write role too")
	}
}
