package sfnapi

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/journal"
	"github.com/anneal-ml/anneal/orchestrator"
	"github.com/anneal-ml/anneal/orchestrator/asl"
	"github.com/anneal-ml/anneal/orchestrator/engine"
	"github.com/anneal-ml/anneal/orchestrator/httptask"
)

// Config is what the API is served with.
type Config struct {
	Journal    *journal.Journal
	Engine     *engine.Engine
	Activities *Activities // those that the engine has as its tasks

	Region  string // default us-east-1
	Account string // default 123456789012

	// Signatures are checked where it is not nil.
	Signatures *Signatures

	// Policies are the machines of policies, by the policy's name, and Runs the
	// executions of one that this engine runs, newest first. Nil: there are none.
	Policies func() map[string]orchestrator.Machine
	Runs     func(ctx context.Context, policy string) iter.Seq2[string, error]

	// Tell takes the event that a status has changed, and returns when it is
	// durable. It is told again only where it failed. Nil: nobody is told.
	Tell func(ctx context.Context, events []anneal.Event) error

	// Write takes lines of executions whose machine has a logging configuration, and
	// returns when they are durable, or never will be. It may get some twice. Nil: nothing
	// is logged.
	Write func(ctx context.Context, lines []LogLine) error

	// LogGroup reports whether there is a log group of an ARN, which ends in :*. It is
	// asked when a state machine is to log to it; where it cannot say, there may be one.
	// Nil: nobody is asked.
	LogGroup func(ctx context.Context, arn string) (bool, error)

	// Trace does an HTTP Task that is tested, and tells what was sent and what came back;
	// reveal has the secrets told too. Nil: that is not told.
	Trace func(ctx context.Context, e asl.Effect, reveal bool) (asl.Outcome, httptask.Exchange, error)

	Log *slog.Logger // default: nowhere
}

// A Server serves the API. It is an [net/http.Handler].
type Server struct {
	cfg   Config
	log   *slog.Logger
	begun time.Time     // since when policies are shown
	from  uint64        // first record that Run reads
	ends  chan struct{} // an execution has ended

	mu   sync.Mutex
	fold Fold // guarded by mu; what it points to is not changed

	deleting atomic.Bool // some machine is
	starts   starts

	textMu sync.Mutex
	texts  map[string][]byte // guarded by textMu; definitions that were read, by digest
	size   int               // guarded by textMu; bytes of them
}

// New makes the API of what fold has come to, which must be a fold of the whole
// journal, and its caller's no more.
func New(cfg Config, fold Fold) *Server {
	cfg.Region, cfg.Account = cmp.Or(cfg.Region, "us-east-1"), cmp.Or(cfg.Account, "123456789012")
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	s := &Server{cfg: cfg, log: cfg.Log, begun: time.Now().UTC(), from: cfg.Journal.Last() + 1, ends: make(chan struct{}, 1), fold: fold}
	s.deleting.Store(fold.deleting())
	cfg.Activities.mu.Lock()
	cfg.Activities.exists = func(name string) bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.fold.Activities[name] != nil
	}
	cfg.Activities.mu.Unlock()
	return s
}

// Run tells of changes of status and ends what is being deleted, until ctx ends.
func (s *Server) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	wg.Go(func() { s.sweep(ctx) })
	tell := s.teller(ctx, &wg)
	for _, c := range s.fold.Untold { // which nobody changes any more
		tell(c)
	}
	looked := func(r journal.Record) bool {
		return r.Kind == KindExecution || mayChange(r) || s.deleting.Load() && strings.HasPrefix(r.Key, keyStandard)
	}
	for r, err := range s.cfg.Journal.Follow(ctx, s.from, looked, kindTurn, KindExecution) {
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("follow the journal: %w", err)
		}
		if r.Kind == KindExecution {
			s.starts.add(r)
			continue
		}
		s.starts.seen(r.Seq)
		all, err := changed(r)
		if err != nil {
			return err
		}
		if s.deleting.Load() { // else as most
			step, err := stepped(r)
			if err != nil {
				return err
			}
			if step {
				wg.Go(func() { s.endDeleted(ctx, r.Key) })
			}
		}
		for _, c := range all {
			tell(c)
			if anneal.Status(c.Status).Ended() {
				select {
				case s.ends <- struct{}{}:
				default: // it is known already
				}
			}
		}
	}
	return nil
}

// stepped reports whether an execution that runs went on from where it was in a turn,
// and not only was told that its task has been begun.
func stepped(r journal.Record) (bool, error) {
	h, err := engine.HeadOf(r)
	first := string(h.First.Type)
	return first != "" && !strings.HasSuffix(first, "Started") && first != string(asl.TaskSubmitted), err
}

// endDeleted ends an execution whose state machine is being deleted, as it has made a
// step.
func (s *Server) endDeleted(ctx context.Context, key string) {
	id, _, _ := strings.Cut(strings.TrimPrefix(key, keyStandard), ":")
	s.mu.Lock()
	ends := false
	for _, m := range s.fold.Machines {
		ends = ends || m.Deleting && m.ID == id
	}
	s.mu.Unlock()
	if !ends || !s.cfg.Engine.Running(key) {
		return
	}
	if err := s.cfg.Engine.Stop(ctx, key, "", ""); err != nil && ctx.Err() == nil {
		s.log.WarnContext(ctx, "execution of a deleted state machine not ended", "execution", key, "err", err)
	}
}

// mostTold is how many changes of status are told at once.
const mostTold = 64

// teller tells of changes in their order, as many at once as have come meanwhile.
// What it returns takes the next, as soon as there is room.
func (s *Server) teller(ctx context.Context, wg *sync.WaitGroup) func(change) {
	queue := make(chan change, mostTold)
	wg.Go(func() {
		var some []change
		for {
			select {
			case c := <-queue:
				some = append(some[:0], c)
			case <-ctx.Done():
				return
			}
			for more := true; more && len(some) < mostTold; {
				select {
				case c := <-queue:
					some = append(some, c)
				default:
					more = false
				}
			}
			s.tell(ctx, some)
		}
	})
	return func(c change) {
		select {
		case queue <- c:
		case <-ctx.Done():
		}
	}
}

// sweep ends the deletion of machines whose executions have all ended.
func (s *Server) sweep(ctx context.Context) {
	tick := time.NewTicker(5 * time.Second) // an execution is open a little after its end is durable
	defer tick.Stop()
	for {
		s.mu.Lock()
		for _, m := range s.fold.Machines {
			if !m.Deleting || s.cfg.Engine.Open(m.key("")) > 0 {
				continue
			}
			gone := *m
			gone.Deleted = true
			if err := s.saveMachine(ctx, &gone); err != nil && ctx.Err() == nil {
				s.log.WarnContext(ctx, "state machine not deleted", "machine", m.Name, "err", err)
			}
		}
		s.mu.Unlock()
		select {
		case <-ctx.Done():
			return
		case <-s.ends:
		case <-tick.C:
		}
	}
}

// saveMachine makes a change of a machine durable, with further records. The
// caller holds mu.
func (s *Server) saveMachine(ctx context.Context, m *machine, beside ...journal.Record) error {
	data, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("write state machine %s: %w", m.Name, err)
	}
	if _, err := s.cfg.Journal.Append(ctx, append(beside, journal.Record{Kind: kindMachine, Key: keyOf(m.Name), Data: data})...); err != nil {
		return fmt.Errorf("record state machine %s: %w", m.Name, err)
	}
	s.fold.setMachine(m)
	s.deleting.Store(s.fold.deleting())
	return nil
}

// machine is the state machine of that name, or that of a policy.
func (s *Server) machine(name string) (*machine, bool) {
	s.mu.Lock()
	m, ok := s.fold.Machines[name]
	s.mu.Unlock()
	if ok || s.cfg.Policies == nil {
		return m, ok
	}
	p, ok := s.cfg.Policies()[name]
	return s.policyMachine(name, p), ok
}

// Machines are the state machines of the API as they stand, by name, so that
// other executions may begin them.
func (s *Server) Machines(ctx context.Context) (map[string]orchestrator.Machine, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := map[string]orchestrator.Machine{}
	for name, m := range s.fold.Machines {
		if m.Deleting {
			continue
		}
		b, _ := m.begin("") // as it stands
		offered, err := s.offered(ctx, m, b)
		if err != nil {
			return nil, err
		}
		offered.Qualified = func(qualifier string) (orchestrator.Machine, error) {
			b, ok := m.begin(qualifier)
			if !ok {
				return orchestrator.Machine{}, fmt.Errorf("%s:%s: %w", name, qualifier, orchestrator.ErrNotFound)
			}
			return s.offered(context.Background(), m, b)
		}
		all[name] = offered
	}
	return all, nil
}

// offered is a machine of which others begin executions, begun so.
func (s *Server) offered(ctx context.Context, m *machine, b start) (orchestrator.Machine, error) {
	text, err := s.definition(ctx, b.Digest)
	return orchestrator.Machine{
		Name: m.Name, Definition: text, Digest: b.Digest, Role: b.Role, ARN: s.arn("stateMachine", m.Name), Version: b.Version, Alias: b.Alias,
		Begin: func(execution string) (string, string, []journal.Record, error) { return s.nested(m, b, execution) },
	}, err
}

// nested is how an execution is known that another one begins.
func (s *Server) nested(m *machine, b start, name string) (key, arn string, beside []journal.Record, err error) {
	key, arn = m.key(name), s.arn("execution", m.Name, name)
	if m.Type == typeExpress {
		id := uuid(anneal.ID("nested", name))
		key, arn = m.key(id), s.arn("express", m.Name, name, id)
	}
	b.Name = name
	data, err := b.text()
	if err != nil {
		return "", "", nil, fmt.Errorf("write start of %s: %w", key, err)
	}
	return key, arn, []journal.Record{{Kind: KindExecution, Key: key, Data: data}}, nil
}

// change changes a state machine. f gets a copy, whose lists it must not change
// in place. Where it answers false, nothing is.
func (s *Server) change(ctx context.Context, a arn, f func(m *machine) (changed bool, beside []journal.Record, err error)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	old, ok := s.fold.Machines[a.name()]
	if !ok {
		if s.cfg.Policies != nil {
			if _, ok := s.cfg.Policies()[a.name()]; ok {
				return readOnly(a.name())
			}
		}
		return noMachine(a.text)
	}
	m := *old
	changed, beside, err := f(&m)
	if err != nil || !changed {
		return err
	}
	return s.saveMachine(ctx, &m, beside...)
}

// maxTexts is how much text of definitions is kept at hand, in bytes.
const maxTexts = 16 << 20

// definition is that of a digest, from the journal if it is not at hand.
func (s *Server) definition(ctx context.Context, digest string) ([]byte, error) {
	s.textMu.Lock()
	text, ok := s.texts[digest]
	s.textMu.Unlock()
	if ok {
		return text, nil
	}
	r, err := s.cfg.Journal.Find(ctx, engine.KindMachine, digest)
	if err != nil {
		return nil, fmt.Errorf("read definition %s: %w", digest, err)
	}
	s.textMu.Lock()
	defer s.textMu.Unlock()
	if s.texts == nil || s.size+len(r.Data) > maxTexts {
		s.texts, s.size = map[string][]byte{}, 0
	}
	if s.texts[digest] == nil {
		s.texts[digest] = r.Data
		s.size += len(r.Data)
	}
	return r.Data, nil
}

// define is the record of a definition, where there is none yet.
func (s *Server) define(ctx context.Context, digest, definition string) ([]journal.Record, error) {
	_, err := s.cfg.Journal.Find(ctx, engine.KindMachine, digest)
	if errors.Is(err, journal.ErrNotFound) {
		return []journal.Record{{Kind: engine.KindMachine, Key: digest, Data: []byte(definition)}}, nil
	}
	return nil, err
}

// key is that of an execution of the machine.
func (m *machine) key(execution string) string {
	if m.policy {
		return execution
	}
	execution = keyOf(execution)
	if m.Type == typeExpress {
		return keyExpress + m.ID + ":" + execution
	}
	return keyStandard + m.ID + ":" + execution
}

// keyOf is a name as a key of the journal has room for it: names have up to 80
// letters, of up to four bytes. No name has a tilde.
func keyOf(name string) string {
	if len(name) > 160 {
		return "~" + anneal.ID(name)
	}
	return name
}

func readOnly(name string) error {
	return invalid("The state machine '%s' belongs to the policy of that name, which alone starts and changes it (anneal trigger %s)", name, name)
}

func noMachine(arn string) error {
	return refuse("StateMachineDoesNotExist", "State Machine Does Not Exist: '%s'", arn)
}

// random are 128 bits of it, in hex.
func random() string {
	var b [16]byte
	rand.Read(b[:]) // never fails
	return fmt.Sprintf("%x", b)
}

// uuid writes what an ID is made of as a UUID.
func uuid(seed string) string {
	h := hash(seed)
	return uuidOf([16]byte(h[:]))
}

// uuidOf writes bits as a UUID of version 8, whose bits are its maker's own (RFC
// 9562).
func uuidOf(b [16]byte) string {
	b[6], b[8] = b[6]&0x0f|0x80, b[8]&0x3f|0x80
	text := make([]byte, 0, 36)
	for i, n := range []int{4, 6, 8, 10, 16} {
		if i > 0 {
			text = append(text, '-')
		}
		text = hex.AppendEncode(text, b[[]int{0, 4, 6, 8, 10}[i]:n])
	}
	return string(text)
}
