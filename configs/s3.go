package configs

// S3 is how the buckets are reached that are not folders here. Credentials are
// found as by every AWS SDK; AWS_ENDPOINT_URL and AWS_ENDPOINT_URL_S3 are kept to.
type S3 struct {
	// Region is where requests go first: a bucket that is elsewhere is followed.
	// The environment's if empty.
	Region string `json:"region"`
	// Role is the ARN of a role to assume, ExternalID what that role asks for. The
	// daemon's own if empty.
	Role       Secret `json:"role"`
	ExternalID Secret `json:"externalId"`
	// KMSKey is the ID, ARN or alias of a key of KMS that what is written is
	// encrypted with. As the bucket does by itself if empty.
	KMSKey Secret `json:"kmsKey"`
	// PathStyle has the bucket in the path of requests. With an endpoint that is
	// not AWS's own it is there anyway.
	PathStyle bool `json:"pathStyle"`
}

// Account is whose buckets they are.
func (s *S3) Account() Account { return Account{s.Region, s.Role, s.ExternalID} }
