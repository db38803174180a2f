package sfnapi

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/anneal-ml/anneal/journal"
	"github.com/anneal-ml/anneal/orchestrator"
	"github.com/anneal-ml/anneal/orchestrator/asl"
	"github.com/anneal-ml/anneal/orchestrator/engine"
)

const (
	typeStandard = "STANDARD"
	typeExpress  = "EXPRESS"
)

func hash(s string) [32]byte { return sha256.Sum256([]byte(s)) }

type createInput struct {
	Name               string          `json:"name"`
	Definition         string          `json:"definition"`
	Role               string          `json:"roleArn"`
	Type               string          `json:"type"`
	Logging            json.RawMessage `json:"loggingConfiguration"`
	Tracing            json.RawMessage `json:"tracingConfiguration"`
	Encryption         json.RawMessage `json:"encryptionConfiguration"`
	Tags               []tag           `json:"tags"`
	Publish            bool            `json:"publish"`
	VersionDescription string          `json:"versionDescription"`
}

type createOutput struct {
	ARN     string `json:"stateMachineArn"`
	Created epoch  `json:"creationDate"`
	Version string `json:"stateMachineVersionArn,omitempty"`
}

func (s *Server) createStateMachine(ctx context.Context, in createInput) (any, error) {
	if err := checkName(in.Name); err != nil {
		return nil, err
	}
	if in.Type == "" {
		in.Type = typeStandard
	}
	if in.VersionDescription != "" && !in.Publish {
		return nil, invalid("Version description can only be set when publish is true")
	}
	if err := checkTags(in.Tags); err != nil {
		return nil, err
	}
	if err := refuseDefinition(in.Definition, in.Type); err != nil {
		return nil, err
	}
	logging, err := s.checkLogging(ctx, in.Logging)
	if err != nil {
		return nil, err
	}
	if err := checkRole(in.Role); err != nil {
		return nil, err
	}
	if err := checkEncryption(in.Encryption); err != nil {
		return nil, err
	}
	now, digest := time.Now().UTC(), engine.Digest([]byte(in.Definition))
	beside, err := s.define(ctx, digest, in.Definition)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	text := s.arn("stateMachine", in.Name)
	if old := s.fold.Machines[in.Name]; old != nil {
		switch {
		case old.Deleting:
			return nil, refuse("StateMachineDeleting", "State Machine is being deleted: '%s'", text)
		case old.Digest != digest || old.Type != in.Type || !old.set(revision{Logging: logging, Tracing: in.Tracing, Encryption: in.Encryption}):
			return nil, refuse("StateMachineAlreadyExists", "State Machine Already Exists: '%s'", text)
		}
		out := createOutput{ARN: text, Created: epoch(old.Created)}
		if in.Publish {
			n := len(old.Versions)
			if n == 0 || old.Versions[n-1].Description != in.VersionDescription {
				return nil, refuse("StateMachineAlreadyExists", "State Machine Already Exists: '%s'", text)
			}
			out.Version = s.versionARN(old, old.Versions[n-1].Number)
		}
		return out, nil
	}
	if s.cfg.Policies != nil {
		if _, ok := s.cfg.Policies()[in.Name]; ok {
			return nil, refuse("StateMachineAlreadyExists", "State Machine Already Exists: '%s'", text)
		}
	}
	m := &machine{
		Name: in.Name, ID: uuid(in.Name + random()), Type: in.Type, Created: now, Tags: in.Tags,
		revision: revision{Updated: now, Digest: digest, Role: in.Role, Logging: logging, Tracing: in.Tracing, Encryption: in.Encryption},
	}
	out := createOutput{ARN: text, Created: epoch(now)}
	if in.Publish {
		out.Version = s.versionARN(m, m.publish(in.VersionDescription, now))
	}
	return out, s.saveMachine(ctx, m, beside...)
}

// Settings where nobody has set them.
const (
	defaultLogging    = `{"level":"OFF","includeExecutionData":false}`
	defaultTracing    = `{"enabled":false}`
	defaultEncryption = `{"type":"AWS_OWNED_KEY"}`
)

// shown is a setting, or what it is where nobody has set it.
func shown(set json.RawMessage, otherwise string) json.RawMessage {
	if null(set) {
		return json.RawMessage(otherwise)
	}
	return set
}

// set reports whether the settings of r are those of another revision.
func (r revision) set(other revision) bool {
	same := func(a, b json.RawMessage, otherwise string) bool {
		var x, y any
		return json.Unmarshal(shown(a, otherwise), &x) == nil && json.Unmarshal(shown(b, otherwise), &y) == nil && reflect.DeepEqual(x, y)
	}
	return same(r.Logging, other.Logging, defaultLogging) && same(r.Tracing, other.Tracing, defaultTracing) && same(r.Encryption, other.Encryption, defaultEncryption)
}

// checkEncryption keeps the rules of keys that an API model cannot say.
func checkEncryption(given json.RawMessage) error {
	if null(given) {
		return nil
	}
	var in struct {
		Type  string `json:"type"`
		Key   string `json:"kmsKeyId"`
		Reuse *int   `json:"kmsDataKeyReusePeriodSeconds"`
	}
	if err := json.Unmarshal(given, &in); err != nil {
		return unreadable(err.Error())
	}
	own := in.Type == "CUSTOMER_MANAGED_KMS_KEY"
	switch {
	case own && in.Key == "":
		return refuse("InvalidEncryptionConfiguration", "Invalid Encryption Configuration: 'kmsKeyId must be set where type is CUSTOMER_MANAGED_KMS_KEY'")
	case !own && (in.Key != "" || in.Reuse != nil):
		return refuse("InvalidEncryptionConfiguration", "Invalid Encryption Configuration: 'kmsKeyId and kmsDataKeyReusePeriodSeconds must not be set where type is AWS_OWNED_KEY'")
	}
	return nil
}

func checkRole(role string) error {
	p := strings.SplitN(role, ":", 6)
	if len(p) < 6 || p[0] != "arn" || p[2] != "iam" || !strings.HasPrefix(p[5], "role/") {
		return refuse("InvalidArn", "Invalid Role Arn: '%s'", role)
	}
	return nil
}

type updateInput struct {
	ARN                string          `json:"stateMachineArn"`
	Definition         *string         `json:"definition"`
	Role               string          `json:"roleArn"`
	Logging            json.RawMessage `json:"loggingConfiguration"`
	Tracing            json.RawMessage `json:"tracingConfiguration"`
	Encryption         json.RawMessage `json:"encryptionConfiguration"`
	Publish            bool            `json:"publish"`
	VersionDescription string          `json:"versionDescription"`
}

type updateOutput struct {
	Updated  epoch  `json:"updateDate"`
	Revision string `json:"revisionId,omitempty"`
	Version  string `json:"stateMachineVersionArn,omitempty"`
}

func (s *Server) updateStateMachine(ctx context.Context, in updateInput) (any, error) {
	a, err := parseARN(in.ARN, "stateMachine")
	if err != nil {
		return nil, err
	}
	if a.qualifier() != "" {
		return nil, refuse("InvalidArn", "Invalid Arn: 'Resource type not valid in this context: %s'", a.text)
	}
	if in.Definition == nil && in.Role == "" && in.Logging == nil && in.Tracing == nil && in.Encryption == nil && !in.Publish {
		return nil, refuse("MissingRequiredParameter", "Either the definition, the role ARN, the LoggingConfiguration, or the TracingConfiguration must be specified")
	}
	if in.VersionDescription != "" && !in.Publish {
		return nil, invalid("Version description can only be set when publish is true")
	}
	logging, err := s.checkLogging(ctx, in.Logging)
	if err != nil {
		return nil, err
	}
	if in.Role != "" {
		if err := checkRole(in.Role); err != nil {
			return nil, err
		}
	}
	if err := checkEncryption(in.Encryption); err != nil {
		return nil, err
	}
	now := time.Now().UTC()
	out := updateOutput{Updated: epoch(now)}
	err = s.change(ctx, a, func(m *machine) (bool, []journal.Record, error) {
		if m.Deleting {
			return false, nil, refuse("StateMachineDeleting", "State Machine is being deleted: '%s'", in.ARN)
		}
		var beside []journal.Record
		next := m.revision
		if in.Definition != nil {
			if err := refuseDefinition(*in.Definition, m.Type); err != nil {
				return false, nil, err
			}
			next.Digest = engine.Digest([]byte(*in.Definition))
			if beside, err = s.define(ctx, next.Digest, *in.Definition); err != nil {
				return false, nil, err
			}
		}
		if in.Role != "" {
			next.Role = in.Role
		}
		if in.Logging != nil {
			next.Logging = logging
		}
		if in.Tracing != nil {
			next.Tracing = in.Tracing
		}
		if in.Encryption != nil {
			next.Encryption = in.Encryption
		}
		if next.Digest != m.Digest || next.Role != m.Role || !next.set(m.revision) {
			next.Revision, next.Updated = uuid(m.ID+random()), now
			m.revision = next
		}
		out.Revision = m.Revision
		if in.Publish {
			out.Version = s.versionARN(m, m.publish(in.VersionDescription, now))
		}
		return true, beside, nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

type describeInput struct {
	ARN      string `json:"stateMachineArn"`
	Included string `json:"includedData"`
}

type describeOutput struct {
	ARN         string              `json:"stateMachineArn"`
	Name        string              `json:"name"`
	Status      string              `json:"status"`
	Definition  string              `json:"definition"`
	Role        string              `json:"roleArn"`
	Type        string              `json:"type"`
	Created     epoch               `json:"creationDate"`
	Logging     json.RawMessage     `json:"loggingConfiguration"`
	Tracing     json.RawMessage     `json:"tracingConfiguration"`
	Encryption  json.RawMessage     `json:"encryptionConfiguration"`
	Label       string              `json:"label,omitempty"`
	Revision    string              `json:"revisionId,omitempty"`
	Description string              `json:"description,omitempty"`
	Variables   map[string][]string `json:"variableReferences,omitempty"`
}

func (s *Server) describeStateMachine(ctx context.Context, in describeInput) (any, error) {
	arn, label := labelled(in.ARN)
	a, err := parseARN(arn, "stateMachine")
	if err != nil {
		return nil, err
	}
	m, ok := s.machine(a.name())
	if !ok {
		return nil, noMachine(in.ARN)
	}
	out := describeOutput{ARN: s.arn("stateMachine", m.Name), Name: m.Name, Status: "ACTIVE", Type: m.Type, Created: epoch(m.Created)}
	if m.Deleting {
		out.Status = "DELETING"
	}
	r := m.revision
	if a.qualifier() != "" {
		v, ok := m.version(a.qualifier())
		if al := m.alias(a.qualifier()); !ok && al != nil {
			v, ok = m.version(strconv.Itoa(al.Routes[0].Version))
		}
		if !ok {
			return nil, noMachine(a.text)
		}
		r, out.ARN, out.Created, out.Description = v.revision, s.versionARN(m, v.Number), epoch(v.Created), v.Description
	}
	out.Revision, out.Role = r.Revision, r.Role
	out.Logging, out.Tracing, out.Encryption = shown(r.Logging, defaultLogging), shown(r.Tracing, defaultTracing), shown(r.Encryption, defaultEncryption)
	definition, err := s.machineDefinition(ctx, m, r.Digest)
	if err != nil {
		return nil, err
	}
	if label != "" {
		if definition, err = processor(definition, out.ARN, label); err != nil {
			return nil, err
		}
		if definition == nil {
			return nil, noMachine(in.ARN)
		}
		out.ARN, out.Label = in.ARN, label
	}
	out.Definition, out.Variables = included(in.Included, definition)
	return out, nil
}

// included is a definition and the variables that it reads, where they are asked for.
func included(data string, definition []byte) (string, map[string][]string) {
	if data == "METADATA_ONLY" {
		return "{}", nil
	}
	return string(definition), variables(definition)
}

// processor is the machine that the children of a distributed Map run, which is told
// by its label; nil: there is no such Map.
func processor(definition []byte, machineARN, label string) (json.RawMessage, error) {
	var machine stateText
	if err := json.Unmarshal(definition, &machine); err != nil {
		return nil, fmt.Errorf("read definition: %w", err)
	}
	return machine.processor(machineARN, label, 0), nil
}

func (machine stateText) processor(machineARN, label string, depth int) json.RawMessage {
	var states map[string]stateText
	if depth > deepest || json.Unmarshal(machine["States"], &states) != nil {
		return nil
	}
	for name, st := range states {
		if own := st.text("Label"); own == label || own == "" && asl.LabelOf(machineARN, name) == label {
			if st["ItemProcessor"] != nil {
				return st["ItemProcessor"]
			}
			return st["Iterator"]
		}
		for _, inner := range st.inside() {
			if found := inner.processor(machineARN, label, depth+1); found != nil {
				return found
			}
		}
	}
	return nil
}

// machineDefinition is the definition of a revision of a machine.
func (s *Server) machineDefinition(ctx context.Context, m *machine, digest string) ([]byte, error) {
	if m.policy && digest == m.Digest {
		return s.cfg.Policies()[m.Name].Definition, nil
	}
	return s.definition(ctx, digest)
}

// policyMachine is the state machine of a policy as the API shows it.
func (s *Server) policyMachine(name string, p orchestrator.Machine) *machine {
	return &machine{
		Name: name, ID: name, Type: typeStandard, policy: true, Created: s.begun,
		revision: revision{Updated: s.begun, Digest: engine.Digest(p.Definition), Role: "arn:aws:iam::" + s.cfg.Account + ":role/anneal"},
	}
}

type machineItem struct {
	ARN     string `json:"stateMachineArn"`
	Name    string `json:"name"`
	Type    string `json:"type"`
	Created epoch  `json:"creationDate"`
}

func (s *Server) listStateMachines(_ context.Context, in page) (any, error) {
	s.mu.Lock()
	all := map[string]*machine{}
	for name, m := range s.fold.Machines {
		all[name] = m
	}
	s.mu.Unlock()
	if s.cfg.Policies != nil {
		for name, p := range s.cfg.Policies() {
			if all[name] == nil {
				all[name] = s.policyMachine(name, p)
			}
		}
	}
	items := []machineItem{}
	for _, m := range all {
		items = append(items, machineItem{s.arn("stateMachine", m.Name), m.Name, m.Type, epoch(m.Created)})
	}
	slices.SortFunc(items, func(a, b machineItem) int { return strings.Compare(a.Name, b.Name) })
	items, next, err := cut(items, func(m machineItem) string { return m.Name }, in, "machines")
	return struct {
		Items []machineItem `json:"stateMachines"`
		Next  string        `json:"nextToken,omitempty"`
	}{items, next}, err
}

// deleteStateMachine deletes what has no open execution; what has is DELETING
// until they have ended.
func (s *Server) deleteStateMachine(ctx context.Context, in describeInput) (any, error) {
	a, err := parseARN(in.ARN, "stateMachine")
	if err != nil {
		return nil, err
	}
	if a.qualifier() != "" {
		return nil, refuse("InvalidArn", "Invalid Arn: 'Resource type not valid in this context: %s'", a.text)
	}
	err = s.change(ctx, a, func(m *machine) (bool, []journal.Record, error) {
		m.Deleting = true
		m.Deleted = s.cfg.Engine.Open(m.key("")) == 0
		return true, nil, nil
	})
	if is(err, "StateMachineDoesNotExist") {
		err = nil // as the service answers what was deleted before
	}
	return nothing{}, err
}

// checkLogging is a logging configuration with its defaults.
func (s *Server) checkLogging(ctx context.Context, given json.RawMessage) (json.RawMessage, error) {
	if len(given) == 0 || string(given) == "null" {
		return nil, nil
	}
	var in struct {
		Level        string `json:"level"`
		Data         bool   `json:"includeExecutionData"`
		Destinations *[]struct {
			Group *struct {
				ARN string `json:"logGroupArn"`
			} `json:"cloudWatchLogsLogGroup"`
		} `json:"destinations"`
	}
	if err := json.Unmarshal(given, &in); err != nil {
		return nil, unreadable(err.Error())
	}
	in.Level = cmp.Or(in.Level, "OFF")
	n := 0
	if in.Destinations != nil {
		n = len(*in.Destinations)
		for _, d := range *in.Destinations {
			if d.Group == nil || !strings.HasPrefix(d.Group.ARN, "arn:") || !strings.HasSuffix(d.Group.ARN, ":*") {
				return nil, refuse("InvalidLoggingConfiguration", "Invalid Logging Configuration: The log group ARN must end with ':*'.")
			}
		}
	}
	if n > 1 || n == 0 && in.Level != "OFF" {
		return nil, refuse("InvalidLoggingConfiguration", "Invalid Logging Configuration: Must specify exactly one Log Destination.")
	}
	if n > 0 && s.cfg.LogGroup != nil {
		there, err := s.cfg.LogGroup(ctx, (*in.Destinations)[0].Group.ARN)
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case err != nil:
			s.log.DebugContext(ctx, "whether a log group exists is not known", "err", err)
		case !there:
			return nil, refuse("InvalidLoggingConfiguration", "Invalid Logging Configuration: Log Destination not found.")
		}
	}
	out := map[string]any{"level": in.Level, "includeExecutionData": in.Data}
	if in.Destinations != nil {
		out["destinations"] = *in.Destinations
	}
	return json.Marshal(out)
}

type validateInput struct {
	Definition string `json:"definition"`
	Type       string `json:"type"`
	Severity   string `json:"severity"`
	MaxResults int    `json:"maxResults"`
}

func (s *Server) validateStateMachineDefinition(_ context.Context, in validateInput) (any, error) {
	result, most, found := "OK", in.MaxResults, []diagnostic{}
	if most == 0 {
		most = 100
	}
	for _, d := range diagnose(in.Definition, in.Type) {
		if d.Severity == "ERROR" {
			result = "FAIL"
		} else if in.Severity != "WARNING" {
			continue
		}
		found = append(found, d)
	}
	if in.Severity == "WARNING" {
		found = append(found, hints(in.Definition)...)
	}
	truncated := len(found) > most
	return struct {
		Result      string       `json:"result"`
		Diagnostics []diagnostic `json:"diagnostics"`
		Truncated   bool         `json:"truncated"`
	}{result, found[:min(len(found), most)], truncated}, nil
}
