package sfnapi

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/anneal-ml/anneal/journal"
)

// maxVersions is how many versions a state machine may have.
const maxVersions = 1000

// publish is the number of the version that the machine's revision is, made
// where it is not yet the newest one.
func (m *machine) publish(description string, now time.Time) int {
	if n := len(m.Versions); n > 0 && m.Versions[n-1].Revision == m.Revision && m.Versions[n-1].Number == m.Published {
		return m.Published
	}
	m.Published++
	m.Versions = append(slices.Clip(m.Versions), version{Number: m.Published, Created: now, Description: description, revision: m.revision})
	return m.Published
}

// version is the version of that number, as text.
func (m *machine) version(number string) (version, bool) {
	for _, v := range m.Versions {
		if strconv.Itoa(v.Number) == number {
			return v, true
		}
	}
	return version{}, false
}

func (s *Server) versionARN(m *machine, number int) string {
	return s.arn("stateMachine", m.Name, strconv.Itoa(number))
}

type publishInput struct {
	ARN         string `json:"stateMachineArn"`
	Revision    string `json:"revisionId"`
	Description string `json:"description"`
}

type versionItem struct {
	ARN     string `json:"stateMachineVersionArn"`
	Created epoch  `json:"creationDate"`
}

func (s *Server) publishStateMachineVersion(ctx context.Context, in publishInput) (any, error) {
	a, err := parseARN(in.ARN, "stateMachine")
	if err != nil {
		return nil, err
	}
	if a.qualifier() != "" {
		return nil, refuse("InvalidArn", "Invalid Arn: 'Resource type not valid in this context: %s'", a.text)
	}
	var out versionItem
	err = s.change(ctx, a, func(m *machine) (bool, []journal.Record, error) {
		current := m.Revision
		if current == "" {
			current = "INITIAL"
		}
		switch {
		case m.Deleting:
			return false, nil, refuse("StateMachineDeleting", "State Machine is being deleted: '%s'", in.ARN)
		case in.Revision != "" && in.Revision != current:
			return false, nil, refuse("ConflictException", "Failed to publish the State Machine version for revision %s. The current State Machine revision is %s.", in.Revision, current)
		case len(m.Versions) >= maxVersions:
			return false, nil, refuse("ServiceQuotaExceededException", "The state machine has %d versions, the most it may have", maxVersions)
		}
		v, _ := m.version(strconv.Itoa(m.publish(in.Description, time.Now().UTC())))
		if in.Description != "" && v.Description != in.Description {
			return false, nil, refuse("ConflictException", "Version with same revision and different description already exists")
		}
		out = versionItem{s.versionARN(m, v.Number), epoch(v.Created)}
		return true, nil, nil
	})
	return out, err
}

type listOfMachine struct {
	ARN string `json:"stateMachineArn"`
	page
}

func (s *Server) listStateMachineVersions(_ context.Context, in listOfMachine) (any, error) {
	m, err := s.machineOf(in.ARN)
	if err != nil {
		return nil, err
	}
	all := slices.Clone(m.Versions)
	slices.Reverse(all)
	all, next, err := cut(all, func(v version) string { return fmt.Sprintf("%010d", 1<<31-v.Number) }, in.page, "versions:"+m.ID)
	items := []versionItem{}
	for _, v := range all {
		items = append(items, versionItem{s.versionARN(m, v.Number), epoch(v.Created)})
	}
	return struct {
		Items []versionItem `json:"stateMachineVersions"`
		Next  string        `json:"nextToken,omitempty"`
	}{items, next}, err
}

// machineOf is the state machine of an ARN without version or alias.
func (s *Server) machineOf(text string) (*machine, error) {
	a, err := parseARN(text, "stateMachine")
	if err != nil {
		return nil, err
	}
	m, ok := s.machine(a.name())
	if !ok {
		return nil, noMachine(text)
	}
	return m, nil
}

type versionInput struct {
	ARN string `json:"stateMachineVersionArn"`
}

func (s *Server) deleteStateMachineVersion(ctx context.Context, in versionInput) (any, error) {
	a, err := parseARN(in.ARN, "stateMachine")
	if err != nil {
		return nil, err
	}
	number, err := strconv.Atoi(a.qualifier())
	if err != nil {
		return nil, refuse("InvalidArn", "Invalid Arn: 'Resource type not valid in this context: %s'", in.ARN)
	}
	err = s.change(ctx, a, func(m *machine) (bool, []journal.Record, error) {
		var users []string
		for _, al := range m.Aliases {
			if slices.ContainsFunc(al.Routes, func(r route) bool { return r.Version == number }) {
				users = append(users, al.Name)
			}
		}
		if len(users) > 0 {
			return false, nil, refuse("ConflictException", "Version to be deleted must not be referenced by an alias. Current list of aliases referencing this version: [%s]", strings.Join(users, ", "))
		}
		before := len(m.Versions)
		m.Versions = slices.DeleteFunc(slices.Clone(m.Versions), func(v version) bool { return v.Number == number })
		return len(m.Versions) < before, nil, nil
	})
	if is(err, "StateMachineDoesNotExist") {
		err = nil // as with what was deleted before
	}
	return nothing{}, err
}
