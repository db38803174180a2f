// Package directory is the trigger of a watched folder: each file that appears
// in it, or below it, is an event in the shape of S3's `Object Created`.
//
// A file is taken once its size and modification time have not changed for the
// settle time, and is read where it lies; nothing is ever moved or written in
// the folder. The event's identity is bucket, key (the path below the folder)
// and SHA-256: new content under an old name is a new event, a file that is
// touched or moved back is none. Files that settle together come in the order
// of their modification times, then of their names. After a start, the whole
// folder is told again, and the sink knows what it has; a cache file spares the
// reading of what has not changed since.
//
// Changes are noticed at once where the system can tell of them, and by a look
// at the whole folder every 30 s at the latest (less often where that look is
// long, so that it takes at most a hundredth of the time). A folder that is
// away is waited for. A sink that refuses is tried again until it takes.
//
// Not taken are: names that begin with a dot, and all below such a folder;
// names that end in .tmp, .part, .partial, .crdownload, .filepart, .swp or ~;
// names between two #; names that are not UTF-8; what is not a regular file;
// symbolic links to folders, and links that lead out of the folder or are
// absolute, which are named in the log once.
//
// A key is read as s3://bucket/key through package objects: whoever wires the
// two maps [Config.Bucket] to [Config.Path] there.
package directory

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"regexp"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/anneal-ml/anneal/triggers"
)

// Config is one entry `directory` under `sources`.
type Config struct {
	// Path is the folder. It need not exist yet.
	Path string `yaml:"path"`
	// Bucket is what events call the folder. Default: the folder's name.
	Bucket string `yaml:"bucket"`
	// Settle is how long a file must not have changed before it is taken.
	// Default: 2 s.
	Settle time.Duration `yaml:"settle"`
	// Cache is a file that remembers checksums from one start to the next. It
	// may be deleted at any time. Empty: there is none, and each start reads
	// every file.
	Cache string `yaml:"-"`
}

// WithDefaults fills in what is not set.
func (c Config) WithDefaults() Config {
	if c.Bucket == "" && c.Path != "" {
		if abs, err := filepath.Abs(c.Path); err == nil {
			c.Bucket = filepath.Base(abs)
		}
	}
	if c.Settle == 0 {
		c.Settle = 2 * time.Second
	}
	return c
}

// Validate says everything that is wrong with the config, once it has its
// defaults.
func (c Config) Validate() error {
	var problems []error
	if c.Path == "" {
		problems = append(problems, errors.New("path: is missing; want a folder"))
	} else if !bucketName.MatchString(c.Bucket) {
		problems = append(problems, fmt.Errorf("bucket: %q: want letters, digits, dots, hyphens and underscores, beginning with a letter or digit", c.Bucket))
	}
	if c.Settle < 0 {
		problems = append(problems, fmt.Errorf("settle: %s: want a time that is not negative", c.Settle))
	}
	return errors.Join(problems...)
}

// bucketName is wider than S3's rule, for folders have names too.
var bucketName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)

// New returns the source of a folder. The error is that of [Config.Validate].
func New(cfg Config, log *slog.Logger) (*Source, error) {
	cfg = cfg.WithDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	path, err := filepath.Abs(cfg.Path)
	if err != nil {
		return nil, fmt.Errorf("path: %w", err)
	}
	cfg.Path = path
	return &Source{cfg: cfg, log: log.With("folder", path)}, nil
}

// A Source watches one folder.
type Source struct {
	cfg  Config
	log  *slog.Logger
	away atomic.Pointer[string] // why the folder cannot be read; nil where it can
}

var _ triggers.Source = (*Source)(nil)

// Condition says what is wrong with the folder, "" if nothing is. It may be
// called at any time.
func (s *Source) Condition() string {
	if why := s.away.Load(); why != nil {
		return *why
	}
	return ""
}

// Run hands the folder's files to sink until ctx ends, and then returns nil. It
// runs once at a time.
func (s *Source) Run(ctx context.Context, sink triggers.Sink) error {
	// Buffered, so that many changes can be looked at together.
	system, err := fsnotify.NewBufferedWatcher(64)
	if err != nil {
		s.log.Warn("changes are noticed by looking only", "every", scanEvery, "err", err)
	} else {
		defer system.Close()
	}
	s.run(ctx, sink, system)
	return nil
}

// run is Run with what tells of changes, or nil.
func (s *Source) run(ctx context.Context, sink triggers.Sink, system *fsnotify.Watcher) {
	w := &watch{
		cfg:      s.cfg,
		log:      s.log,
		settler:  newSettler(s.cfg.Settle),
		known:    make(map[string]known),
		busy:     make(map[string]stamp),
		warnings: make(map[string]warning),
		cache:    openCache(s.cfg.Cache, s.log),
		system:   system,
		tell:     s.away.Store,
	}
	defer w.cache.close()
	w.remembered = w.cache.load()

	ctx, cancel := context.WithCancel(ctx)
	d := &deliverer{cfg: s.cfg, log: s.log, sink: sink, jobs: make(chan file), results: make(chan result)}
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	running.Go(func() { d.run(ctx) })
	w.run(ctx, d.jobs, d.results)
}
