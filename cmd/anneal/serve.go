package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/configs"
	"github.com/anneal-ml/anneal/controller"
	metrics "github.com/anneal-ml/anneal/drift/cloudwatch"
	"github.com/anneal-ml/anneal/drift/dataset"
	"github.com/anneal-ml/anneal/drift/outcome"
	"github.com/anneal-ml/anneal/drift/profile"
	reports "github.com/anneal-ml/anneal/drift/report"
	"github.com/anneal-ml/anneal/journal"
	"github.com/anneal-ml/anneal/journal/file"
	"github.com/anneal-ml/anneal/notify"
	publish "github.com/anneal-ml/anneal/notify/cloudwatch"
	"github.com/anneal-ml/anneal/objects"
	"github.com/anneal-ml/anneal/orchestrator"
	"github.com/anneal-ml/anneal/orchestrator/engine"
	"github.com/anneal-ml/anneal/orchestrator/sfnapi"
	"github.com/anneal-ml/anneal/orchestrator/stepfunctions"
	"github.com/anneal-ml/anneal/orchestrator/tasks"
	"github.com/anneal-ml/anneal/orchestrator/wire"
	"github.com/anneal-ml/anneal/policy"
	"github.com/anneal-ml/anneal/triggers"
	"github.com/anneal-ml/anneal/triggers/cron"
	"github.com/anneal-ml/anneal/triggers/directory"
)

func newServe() *cobra.Command {
	var path string
	var verbose bool
	var wait time.Duration
	c := &cobra.Command{
		Use:   "serve --config FILE",
		Short: "Run the daemon",
		Long: `Run the daemon: take events in, decide, train, promote, tell. It goes on exactly where
it stopped, however it stopped; executions and local jobs outlive it.

The settings file names the policies. What ` + "`anneal check`" + ` finds wrong with either is
reported, and nothing starts (exit status 2). A port in use is exit status 3. A data
folder that another daemon holds is waited for, --wait at most, and is exit status 3
then: meanwhile /livez answers, /readyz says 503, and nothing in the folder is touched.

SIGTERM and SIGINT stop in order, within ten seconds, with status 0: /readyz answers
503 and nothing more is taken from sources, what was taken is acknowledged, the loop
ends, open requests are answered, and the journal is closed. Executions stay open and
local jobs go on; the next start finds them. /livez answers to the last. A second
signal ends the process at once, with status 130 or 143, and loses nothing either.`,
		Example: "  anneal serve --config anneal.yaml",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			log := newLog(cmd.ErrOrStderr(), verbose)
			if _, err := os.Stat(path); err != nil {
				return usage(noSettings(err, cmd.Flags().Changed("config")))
			}
			cfg, err := configs.Load(path, loadOptions())
			if err != nil {
				return usage(err)
			}
			if problems := append(checkResources(cfg), cfg.Notes...); len(problems) > 0 {
				return usage(problems)
			}
			for _, p := range checkMachines(cfg, mostChecked) { // AWS would take these definitions, too
				log.Warn("state machine is doubtful", "problem", p.String())
			}
			d, err := assemble(cmd.Context(), cfg, log, wait)
			if errors.Is(err, errWaited) {
				log.Info("stopped")
				return nil
			}
			if err != nil {
				return err
			}
			defer d.close()
			return d.run(cmd.Context())
		},
	}
	c.Flags().StringVar(&path, "config", "anneal.yaml", "the settings file")
	c.Flags().DurationVar(&wait, "wait", waitFor, "how long to wait for a data folder that another daemon holds")
	c.Flags().BoolVarP(&verbose, "verbose", "v", false, "log what is for debugging too")
	return c
}

func newLog(w io.Writer, verbose bool) *slog.Logger {
	level := slog.LevelInfo
	if verbose {
		level = slog.LevelDebug
	}
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: level}))
}

// A daemon is all parts, put together over one journal.
type daemon struct {
	cfg        *configs.Config // its Settings; the policies are those of generation
	log        *slog.Logger
	listener   net.Listener
	entrance   entrance
	journal    *journal.Journal
	objects    *objects.Store
	tasks      *tasks.Tasks
	engine     *engine.Engine
	remote     *stepfunctions.Executor
	api        *api         // nil: it is off
	logs       logWriter    // nil: the API is off
	wire       *wire.Client // nil: no task may call AWS
	controller *controller.Controller
	generation generation
	schedules  *schedules
	sources    map[string]triggers.Source
	hooks      map[string]http.Handler // by path; they are sources too
	channels   map[string]notify.Channel
	measures   *measures
	reader     *metrics.Reader    // of metrics that are signals
	publisher  *publish.Publisher // nil: metrics are sent nowhere
	ready      atomic.Bool
	hangup     chan os.Signal // has the policies read again
}

// assemble takes the port and the data folder and makes every part ready to
// run. A folder that another daemon holds it waits for, so long at most. Where it
// fails it leaves nothing behind.
func assemble(ctx context.Context, cfg *configs.Config, log *slog.Logger, wait time.Duration) (_ *daemon, err error) {
	d := &daemon{cfg: cfg, log: log, sources: map[string]triggers.Source{}, hooks: map[string]http.Handler{}, measures: newMeasures(), hangup: make(chan os.Signal, 1)}
	signal.Notify(d.hangup, syscall.SIGHUP) // from the start, since it ends a process that does not listen
	defer func() {
		if err != nil {
			d.close()
		}
	}()
	if d.listener, err = d.listen("listen", cfg.Settings.Listen); err != nil {
		return nil, err
	}
	data := string(cfg.Settings.Data)
	if err := os.MkdirAll(data, 0o777); err != nil {
		return nil, broken(fmt.Errorf("make the data folder: %w", err))
	}
	if d.journal, err = d.openJournal(ctx, data, wait); err != nil {
		return nil, err
	}
	buckets := map[string]string{}
	for name, folder := range cfg.Settings.Buckets {
		buckets[name] = string(folder)
	}
	if d.objects, err = openObjects(cfg, buckets, log); err != nil {
		return nil, usage(err)
	}
	if d.tasks, err = d.newTasks(buckets, configs.Secret.Resolve); err != nil {
		return nil, broken(err)
	}
	recovery, err := controller.Recover(ctx, d.journal)
	if err != nil {
		return nil, broken(err)
	}
	activities := sfnapi.NewActivities(d.tasks)
	if d.engine, err = engine.New(ctx, d.engineConfig(activities), recovery.Engine); err != nil {
		return nil, broken(err)
	}
	recovery.Engine = nil // which may be large, and is the engine's now
	if d.api, err = d.newAPI(activities, recovery.API); err != nil {
		return nil, err
	}
	d.reader = d.newMetricReader()
	if d.remote, err = d.newRemote(); err != nil {
		return nil, usage(err)
	}
	controllerConfig, err := d.controllerConfig(ctx)
	if err != nil {
		return nil, usage(err)
	}
	d.controller = controller.New(controllerConfig, recovery.State)
	d.generation.take(cfg)
	d.measures.load(cfg.Policies)
	if d.publisher, err = d.newPublisher(ctx); err != nil {
		return nil, err
	}
	d.schedules = &schedules{log: log, next: make(chan []*cron.Schedule, 1), ticks: d.controller.Ticks}
	d.schedules.set(d.scheduled(cfg))
	d.sources["schedules"] = d.schedules
	for i, s := range cfg.Settings.Sources {
		if err := d.addSource(ctx, s); err != nil {
			return nil, usage(fmt.Errorf("source %d: %w", i+1, err))
		}
	}
	return d, nil
}

// addSource makes a source of what the settings say of one.
func (d *daemon) addSource(ctx context.Context, s configs.Source) error {
	switch {
	case s.Webhook != nil:
		return d.addHook(s.Webhook)
	case s.SQS != nil:
		return d.addQueue(ctx, s.SQS)
	case s.NATS != nil:
		return d.addStream(s.NATS)
	case s.CloudWatch != nil:
		return d.addAlarms(ctx, s.CloudWatch)
	case s.Directory != nil:
		return d.addDirectory(s.Directory)
	}
	return nil
}

// addDirectory makes the source of one folder.
func (d *daemon) addDirectory(settings *configs.Directory) error {
	source, err := directory.New(directory.Config{
		Path:   string(settings.Path),
		Bucket: settings.Bucket,
		Settle: time.Duration(settings.Settle),
		Cache:  filepath.Join(string(d.cfg.Settings.Data), "cache", "directory-"+settings.Bucket+".json"),
	}, d.log)
	if err != nil {
		return err
	}
	d.sources["directory "+settings.Bucket] = source
	return nil
}

func (d *daemon) engineConfig(does engine.Tasks) engine.Config {
	return engine.Config{
		Journal: d.journal, Tasks: does, Objects: d.objects, Log: d.log,
		Region: d.cfg.Settings.Embedded.Region, Account: d.cfg.Settings.Embedded.Account,
	}
}

func (d *daemon) controllerConfig(ctx context.Context) (controller.Config, error) {
	cfg := controller.Config{
		Journal:    d.journal,
		Log:        d.log,
		Generation: controllerGeneration(d.cfg),
		Executors:  map[string]orchestrator.Executor{policy.ExecutorEmbedded: d.engine, policy.ExecutorStepFunctions: d.remote},
		Told:       d.remote.Told,
		Profile: func(ctx context.Context, o anneal.Object, opt dataset.Options) (*profile.Profile, error) {
			return readProfile(ctx, d.objects, o, opt)
		},
		Outcomes: func(ctx context.Context, o anneal.Object, form outcome.Form) (*outcome.Batch, error) {
			return readOutcomes(ctx, d.objects, o, form)
		},
		Report: func(ctx context.Context, o anneal.Object, form reports.Form) (*reports.Report, error) {
			return readReport(ctx, d.objects, o, form)
		},
		Open: func(ctx context.Context, o anneal.Object) (io.ReadCloser, error) {
			r, _, err := d.objects.OpenVersion(ctx, o.URI, versionOf(o))
			return r, err
		},
		Metrics:   d.reader.Read,
		Stage:     d.stage,
		Staging:   stagingOf(d.cfg, d.objects),
		Checksum:  d.objects.Checksum,
		Retention: time.Duration(d.cfg.Settings.Retention),
		Prune:     d.prune,
	}
	var err error
	cfg.Channels, cfg.Terms, err = channels(ctx, d.cfg.Settings.Notify, d.log)
	d.channels = cfg.Channels
	return cfg, err
}

// run runs all parts until ctx ends or one of them fails, and stops them in
// order: see stop.go.
func (d *daemon) run(ctx context.Context) error {
	var sources, parts, server sync.WaitGroup
	inner, stopInner := context.WithCancelCause(ctx)
	outer, stopParts := context.WithCancel(context.WithoutCancel(ctx))
	last, stopServer := context.WithCancel(context.WithoutCancel(ctx))
	from := d.journal.Last() + 1 // what is recorded from now on is counted
	defer stopParts()
	defer stopServer()
	start := func(wg *sync.WaitGroup, ctx context.Context, name string, run func(context.Context) error) {
		wg.Go(func() {
			if err := run(ctx); err != nil && ctx.Err() == nil {
				stopInner(fmt.Errorf("%s: %w", name, err))
			}
		})
	}
	start(&parts, outer, "engine", d.engine.Run)
	start(&parts, outer, "step functions on aws", d.remote.Run)
	start(&parts, outer, "jobs", d.tasks.Run)
	start(&parts, outer, "controller", d.controller.Run)
	if d.api != nil {
		start(&parts, outer, "step functions", d.api.server.Run)
		start(&parts, outer, "step functions logs", d.api.server.WriteLogs)
		start(&parts, outer, "step functions http", d.serveAPI)
	}
	start(&parts, outer, "recovery", d.keepRecovery)
	start(&parts, outer, "memory", keepRoom)
	for _, name := range sortedKeys(d.sources) {
		start(&sources, inner, "source "+name, func(ctx context.Context) error { return d.sources[name].Run(ctx, d.controller) })
	}
	start(&sources, inner, "policies", d.keepPolicies)
	start(&sources, inner, "metrics", func(ctx context.Context) error { return d.followMetrics(ctx, from) })
	if d.publisher != nil {
		start(&parts, outer, "metrics to cloudwatch", d.publisher.Run)
	}
	var work gate
	start(&server, last, "http", func(ctx context.Context) error { return d.serveEntrance(ctx, work.handler(d.handler())) })
	d.ready.Store(true) // before anybody knows where to ask
	address := d.address()
	d.leaveAddress("address", address)
	if d.api != nil {
		d.leaveAddress("address-stepfunctions", addressOf(d.cfg, d.api.listener))
	}
	if d.api != nil {
		d.log.Info("serving the Step Functions API", "address", addressOf(d.cfg, d.api.listener))
	}
	d.log.Info("serving", "address", address, "policies", len(d.cfg.Policies), "data", string(d.cfg.Settings.Data))

	select {
	case <-inner.Done():
	case <-d.journal.Done():
		stopInner(fmt.Errorf("journal: %w", d.journal.Err()))
	}
	cause := context.Cause(inner)
	d.ready.Store(false)
	d.log.Info("stopping")
	work.close()
	stopInner(nil)
	d.await("sources and open requests", func() { sources.Wait(); work.wait() })
	stopParts()
	d.await("loop and engine", parts.Wait)
	stopServer()
	d.await("http", server.Wait)
	if ctx.Err() != nil {
		d.log.Info("stopped")
		return nil
	}
	return broken(cause)
}

const (
	// foldEvery is how often keepRecovery looks whether to fold the journal.
	foldEvery = 5 * time.Second
	// mostUnfolded is from how many records on it does so while more are written: a
	// start folds as many in half a second.
	mostUnfolded = 100_000
)

// keepRecovery folds the journal now and then, so that the next start has
// little left to fold: as a rule while nothing is written, as it takes of the
// processors what who writes can use.
func (d *daemon) keepRecovery(ctx context.Context) error {
	tick := time.NewTicker(foldEvery)
	defer tick.Stop()
	folded := d.journal.Last() // by the start
	for last := folded; ; {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		before := last
		last = d.journal.Last()
		if rests := last == before; last == folded || !rests && last-folded < mostUnfolded {
			continue
		}
		folded = last
		if _, err := controller.Recover(ctx, d.journal); err != nil && ctx.Err() == nil {
			d.log.Warn("recovery not kept", "err", err)
		}
	}
}

// jobs is where local jobs have their folders.
func (d *daemon) jobs() string { return filepath.Join(string(d.cfg.Settings.Data), jobsFolder) }

// close lets go of what assemble took.
func (d *daemon) close() {
	signal.Stop(d.hangup)
	if d.entrance.stop != nil {
		_ = d.shut() // told by who served
	}
	if d.listener != nil {
		d.listener.Close()
	}
	if d.api != nil {
		d.api.listener.Close()
	}
	if d.journal != nil {
		d.journal.Close()
	}
}

// openJournal opens the journal in a data folder.
func openJournal(ctx context.Context, data string, opts journal.Options) (*journal.Journal, error) {
	j, err := file.OpenJournal(ctx, filepath.Join(data, journalFolder), opts)
	if err != nil {
		return nil, journalError(err)
	}
	return j, nil
}
