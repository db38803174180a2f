package sfnapi

import (
	"context"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/anneal-ml/anneal/journal"
)

// maxAliases is how many aliases a state machine may have.
const maxAliases = 100

// alias is the alias of that name; nil if there is none.
func (m *machine) alias(name string) *alias {
	for i := range m.Aliases {
		if m.Aliases[i].Name == name {
			return &m.Aliases[i]
		}
	}
	return nil
}

// pick is the version that a start by the alias runs, by the weights.
func (a *alias) pick() int {
	n := rand.IntN(100)
	for _, r := range a.Routes {
		if n -= r.Weight; n < 0 {
			return r.Version
		}
	}
	return a.Routes[len(a.Routes)-1].Version // unreachable: the weights sum up to 100
}

type routing struct {
	Version string `json:"stateMachineVersionArn"`
	Weight  int    `json:"weight"`
}

type aliasInput struct {
	Name        string     `json:"name"`
	ARN         string     `json:"stateMachineAliasArn"`
	Description *string    `json:"description"`
	Routing     *[]routing `json:"routingConfiguration"`
}

// routes reads a routing configuration, and the machine it is of.
func (s *Server) routes(given []routing) (a arn, routes []route, err error) {
	var versions, weights []string
	sum, distinct := 0, true
	for _, g := range given {
		b, err := parseARN(g.Version, "stateMachine")
		if err != nil {
			return a, nil, err
		}
		number, err := strconv.Atoi(b.qualifier())
		if err != nil {
			return a, nil, badRouting("Routing configuration must contain state machine version ARNs. Received: [%s]", g.Version)
		}
		if len(routes) > 0 && b.name() != a.name() {
			return a, nil, badRouting("Routing configuration must contain versions of one state machine. Received: [%s, %s]", given[0].Version, g.Version)
		}
		distinct = distinct && !slices.Contains(versions, g.Version)
		versions, weights = append(versions, g.Version), append(weights, strconv.Itoa(g.Weight))
		a, sum = b, sum+g.Weight
		routes = append(routes, route{number, g.Weight})
	}
	switch {
	case !distinct:
		return a, nil, badRouting("Routing configuration must contain distinct state machine version ARNs. Received: [%s]", strings.Join(versions, ", "))
	case sum != 100:
		return a, nil, badRouting("Sum of routing configuration weights must equal 100. Received: [%s]", strings.Join(weights, ", "))
	}
	return a, routes, nil
}

func badRouting(format string, args ...any) error {
	return invalid(format, args...).because(reasonRoutings)
}

// known refuses routes to versions that the machine does not have.
func (s *Server) known(m *machine, routes []route) error {
	for _, r := range routes {
		if _, ok := m.version(strconv.Itoa(r.Version)); !ok {
			return noAlias()
		}
	}
	return nil
}

func (s *Server) createStateMachineAlias(ctx context.Context, in aliasInput) (any, error) {
	a, routes, err := s.routes(*in.Routing)
	if err != nil {
		return nil, err
	}
	now, description := time.Now().UTC(), ""
	if in.Description != nil {
		description = *in.Description
	}
	out := struct {
		ARN     string `json:"stateMachineAliasArn"`
		Created epoch  `json:"creationDate"`
	}{s.arn("stateMachine", a.name(), in.Name), epoch(now)}
	err = s.change(ctx, a, func(m *machine) (bool, []journal.Record, error) {
		if m.Deleting {
			return false, nil, refuse("StateMachineDeleting", "State Machine is being deleted: '%s'", s.arn("stateMachine", m.Name))
		}
		if err := s.known(m, routes); err != nil {
			return false, nil, err
		}
		if old := m.alias(in.Name); old != nil {
			if !slices.Equal(old.Routes, routes) || old.Description != description {
				return false, nil, refuse("ConflictException", "Failed to create alias because an alias with the same name and a different routing configuration already exists.")
			}
			out.Created = epoch(old.Created)
			return false, nil, nil
		}
		if len(m.Aliases) >= maxAliases {
			return false, nil, refuse("ServiceQuotaExceededException", "The state machine has %d aliases, the most it may have", maxAliases)
		}
		m.Aliases = append(slices.Clip(m.Aliases), alias{Name: in.Name, Created: now, Updated: now, Description: description, Routes: routes})
		return true, nil, nil
	})
	return out, ofAlias(err)
}

// ofAlias is err in the words of operations on aliases, which do not tell of machines.
func ofAlias(err error) error {
	if is(err, "StateMachineDoesNotExist") {
		return noAlias()
	}
	return err
}

// noAlias is that an alias or what it leads to does not exist.
func noAlias() error {
	return refuse("ResourceNotFound", "Request references a resource that does not exist.")
}

// changeAlias changes one alias of a machine; nil deletes it.
func (s *Server) changeAlias(ctx context.Context, text string, f func(m *machine, old alias) (*alias, error)) error {
	a, err := parseARN(text, "stateMachine")
	if err != nil {
		return err
	}
	return ofAlias(s.change(ctx, a, func(m *machine) (bool, []journal.Record, error) {
		i := slices.IndexFunc(m.Aliases, func(x alias) bool { return x.Name == a.qualifier() })
		if i < 0 {
			return false, nil, noAlias()
		}
		next, err := f(m, m.Aliases[i])
		m.Aliases = slices.Clone(m.Aliases)
		if next != nil {
			m.Aliases[i] = *next
		} else {
			m.Aliases = slices.Delete(m.Aliases, i, i+1)
		}
		return true, nil, err
	}))
}

func (s *Server) updateStateMachineAlias(ctx context.Context, in aliasInput) (any, error) {
	if in.Description == nil && in.Routing == nil {
		return nil, invalid("Either the description or the routing configuration must be specified").because(reasonMissing)
	}
	now := time.Now().UTC()
	err := s.changeAlias(ctx, in.ARN, func(m *machine, a alias) (*alias, error) {
		a.Updated = now
		if in.Description != nil {
			a.Description = *in.Description
		}
		if in.Routing == nil {
			return &a, nil
		}
		of, routes, err := s.routes(*in.Routing)
		if err == nil && of.name() != m.Name {
			err = badRouting("Routing configuration must contain versions of the alias's state machine. Received: [%s]", (*in.Routing)[0].Version)
		}
		if err == nil {
			err = s.known(m, routes)
		}
		a.Routes = routes
		return &a, err
	})
	return struct {
		Updated epoch `json:"updateDate"`
	}{epoch(now)}, err
}

func (s *Server) deleteStateMachineAlias(ctx context.Context, in aliasInput) (any, error) {
	err := s.changeAlias(ctx, in.ARN, func(*machine, alias) (*alias, error) { return nil, nil })
	if e, ok := err.(*apiError); ok && (e.code == "ResourceNotFound" || e.code == "StateMachineDoesNotExist") {
		err = nil // as with what was deleted before
	}
	return nothing{}, err
}

func (s *Server) describeStateMachineAlias(_ context.Context, in aliasInput) (any, error) {
	a, err := parseARN(in.ARN, "stateMachine")
	if err != nil {
		return nil, err
	}
	m, ok := s.machine(a.name())
	if !ok || m.alias(a.qualifier()) == nil {
		return nil, noAlias()
	}
	al := m.alias(a.qualifier())
	out := struct {
		ARN         string    `json:"stateMachineAliasArn"`
		Name        string    `json:"name"`
		Description string    `json:"description,omitempty"`
		Routing     []routing `json:"routingConfiguration"`
		Created     epoch     `json:"creationDate"`
		Updated     epoch     `json:"updateDate"`
	}{s.arn("stateMachine", m.Name, al.Name), al.Name, al.Description, nil, epoch(al.Created), epoch(al.Updated)}
	for _, r := range al.Routes {
		out.Routing = append(out.Routing, routing{s.versionARN(m, r.Version), r.Weight})
	}
	return out, nil
}

func (s *Server) listStateMachineAliases(_ context.Context, in listOfMachine) (any, error) {
	a, err := parseARN(in.ARN, "stateMachine")
	if err != nil {
		return nil, err
	}
	m, ok := s.machine(a.name())
	if !ok {
		return nil, noMachine(in.ARN)
	}
	all := m.Aliases
	if q := a.qualifier(); q != "" { // those that lead to a version
		all = slices.DeleteFunc(slices.Clone(all), func(x alias) bool {
			return !slices.ContainsFunc(x.Routes, func(r route) bool { return strconv.Itoa(r.Version) == q })
		})
	}
	key := func(x alias) string { return x.Created.Format("20060102150405.000000000") + x.Name }
	all, next, err := cut(all, key, in.page, "aliases:"+m.ID+strings.Join(a.rest[1:], ""))
	type item struct {
		ARN     string `json:"stateMachineAliasArn"`
		Created epoch  `json:"creationDate"`
	}
	items := []item{}
	for _, x := range all {
		items = append(items, item{s.arn("stateMachine", m.Name, x.Name), epoch(x.Created)})
	}
	return struct {
		Items []item `json:"stateMachineAliases"`
		Next  string `json:"nextToken,omitempty"`
	}{items, next}, err
}
