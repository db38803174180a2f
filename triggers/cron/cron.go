// Package cron is the trigger of schedules: each time that a schedule names is
// a tick, and each tick an event of source `anneal.cron` and type `Scheduled
// Event`.
//
// A [Schedule] is five cron fields in a time zone, and says what its ticks are
// as a pure function of them: [Schedule.Ticks], what is still owed after a time
// away ([Schedule.Missed]) and what the clocks did ([Schedule.Preview]). A tick
// is known by policy, trigger and its time in UTC, and its event has an ID
// derived from these: told twice, it is one event. Its Time is the tick's, also
// where jitter or a time away let it come later.
//
// Where the clocks change, a schedule that names its hours (`30 2 * * *`,
// `0 */6 * * *`, `* 9-17 * * *`) ticks once for every local time that it names:
//
//   - A local time that does not exist, since the clocks go forward over it, is
//     moved by as much as they go: 02:30 becomes 03:30. If the schedule names
//     that too, the two are one tick.
//   - A local time that happens twice, since the clocks go back over it, ticks
//     the first time only.
//
// A schedule of all 24 hours (`*/15 * * * *`) follows the clocks as they are: a
// local time that does not exist has no tick, and one that happens twice has
// two. So every quarter of an hour stays one. testdata/dst.txt has the tables.
//
// The fields are those of robfig/cron: lists, ranges, steps, and names of months
// and days; Sunday is 0. Where day of month and day of week are both
// restricted, a day that matches either is one. `@daily` and its like, `TZ=` and
// seconds are refused.
//
// Which ticks there have been is remembered by the journal, not here:
// [Config.Last] asks for it.
package cron

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"time"

	robfig "github.com/robfig/cron/v3"

	"github.com/anneal-ml/anneal"
)

// An Entry is one schedule of a policy, as it is written.
type Entry struct {
	Policy  string
	Trigger string // its ID in the policy
	// Cron is minute, hour, day of month, month and day of week.
	Cron string
	// Zone is an IANA time zone. It is required: the zone of the machine is
	// not known where the policy is written.
	Zone *time.Location
	// CatchUp is what becomes of ticks that were missed. Default: none.
	CatchUp CatchUp
	// Max is how many missed ticks are made up at most, with CatchUp all; the
	// newest are. Default: 24. At most 1,000.
	Max int
	// Deadline is how late a missed tick may be to be made up; at least a
	// minute. Default: as late as a year.
	Deadline time.Duration
	// Jitter spreads ticks of many schedules over time: each comes later by
	// less than Jitter, in whole seconds that depend on policy, trigger and
	// tick alone. At most the shortest time between two ticks. Default: none.
	Jitter time.Duration
}

// CatchUp is what becomes of the ticks that were missed: those that are more
// than a minute late, since the daemon was down, the machine asleep or the
// journal full. A tick that is less late than that always comes.
type CatchUp string

// The ways to catch up.
const (
	None   CatchUp = "none"   // missed is missed
	Latest CatchUp = "latest" // the newest missed tick comes, unless one has come that was not missed
	All    CatchUp = "all"    // the newest Max come, in their order
)

// A Schedule is an entry that was checked, by [Parse].
type Schedule struct {
	entry Entry
	spec  *robfig.SpecSchedule // in UTC: asked about local times as if they were
	named bool                 // names its hours: not all 24
}

// Entry is the entry with its defaults.
func (s *Schedule) Entry() Entry { return s.entry }

// A Tick is one time of a schedule.
type Tick struct {
	At    time.Time // in UTC; with policy and trigger, its identity
	Due   time.Time // when it comes: At and the jitter
	Shift Shift
}

// Shift is what the change of the clocks has done to a tick.
type Shift string

// The shifts.
const (
	Unshifted Shift = ""
	Moved     Shift = "moved"  // its local time does not exist
	First     Shift = "first"  // its local time happens twice; this is the first
	Second    Shift = "second" // and this the second
)

// Scheduled is the Data of a `Scheduled Event`.
type Scheduled struct {
	Policy   string `json:"policy"`
	Trigger  string `json:"trigger"`
	Cron     string `json:"cron"`
	TimeZone string `json:"timeZone"`
	Local    string `json:"local"` // the tick in that zone, as RFC 3339
	Shift    Shift  `json:"shift,omitempty"`
}

// Event is the event of a tick that comes now.
func (s *Schedule) Event(tick Tick, now time.Time) anneal.Event {
	data, err := json.Marshal(Scheduled{
		Policy:   s.entry.Policy,
		Trigger:  s.entry.Trigger,
		Cron:     s.entry.Cron,
		TimeZone: s.entry.Zone.String(),
		Local:    tick.At.In(s.entry.Zone).Format(time.RFC3339),
		Shift:    tick.Shift,
	})
	if err != nil {
		panic(err) // unreachable: a struct of strings has a JSON form
	}
	return anneal.Event{
		SpecVersion:     "1.0",
		ID:              s.id(tick.At),
		Source:          anneal.SourceCron,
		Type:            anneal.TypeScheduledEvent,
		Subject:         s.entry.Policy,
		Time:            tick.At,
		DataContentType: "application/json",
		Data:            data,
		Seen:            now.UTC(),
	}
}

// Told is the tick that an event tells of, if it is one of this schedule: of
// the same policy and trigger, and since then neither fields nor zone have
// changed. So a schedule that was changed owes nothing for the time before.
func (s *Schedule) Told(event anneal.Event) (time.Time, bool) {
	var data Scheduled
	if event.Source != anneal.SourceCron || event.Type != anneal.TypeScheduledEvent || json.Unmarshal(event.Data, &data) != nil {
		return time.Time{}, false
	}
	e := s.entry
	same := data.Policy == e.Policy && data.Trigger == e.Trigger && data.Cron == e.Cron && data.TimeZone == e.Zone.String()
	return event.Time, same
}

func (s *Schedule) id(at time.Time) string {
	return anneal.ID("event", anneal.SourceCron, s.entry.Policy, s.entry.Trigger, at.UTC().Format(time.RFC3339))
}

// jitter is less than the entry's, in whole seconds, the same on every machine.
func (s *Schedule) jitter(at time.Time) time.Duration {
	seconds := uint64(s.entry.Jitter / time.Second)
	if seconds == 0 {
		return 0
	}
	sum := sha256.Sum256([]byte(s.id(at)))
	return time.Duration(binary.BigEndian.Uint64(sum[:])%seconds) * time.Second
}
