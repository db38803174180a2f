package configs

import (
	"cmp"
	"maps"
	"net"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/anneal-ml/anneal/policy"
)

// Settings are the daemon's own file. Paths in it are relative to the file;
// here they are absolute.
type Settings struct {
	// Listen is where the page, the API, webhooks, health and metrics are
	// served: off loopback only with Auth. 127.0.0.1:8080 if empty.
	Listen string `json:"listen"`
	Auth   Auth   `json:"auth"`
	TLS    *TLS   `json:"tls"` // plain HTTP if nil
	// Data holds the journal and the job folders. ./anneal-data if empty.
	Data Folder `json:"data"`
	// Retention is how long the journal keeps what is over: records go when they
	// are older. What is open or in use stays for as long as it is, and an event
	// is known again for at least 14 days. 90d if zero.
	Retention policy.Duration `json:"retention"`
	// Policies are files, or folders of *.yaml and *.yml files. ./policies if
	// none.
	Policies []Folder `json:"policies"`
	// Staging is where manifests and staged training prefixes are written: a
	// folder, or an s3:// prefix. Data's `staging` if empty.
	Staging string `json:"staging"`
	// Buckets are the buckets that are folders here: s3://NAME/… is in the
	// folder, everywhere. The bucket of each directory source is one. Any other
	// is in S3.
	Buckets map[string]Folder `json:"buckets"`
	// S3 is how those are reached.
	S3      S3       `json:"s3"`
	Sources []Source `json:"sources"`
	// Embedded is about what the embedded engine runs, and where.
	Embedded Embedded `json:"embedded"`
	// StepFunctions is how AWS Step Functions is reached.
	StepFunctions StepFunctions `json:"stepFunctions"`
	// Notify are the channels that notices go to, by name. A channel `log`
	// is always there.
	Notify map[string]Channel `json:"notify"`
	// CloudWatch is where the metrics are that policies have as signals (source:
	// cloudwatch). Its region is that of signals without one.
	CloudWatch Account `json:"cloudwatch"`
	// Metrics are where metrics are sent, beside /metrics. Nowhere if empty.
	Metrics Metrics `json:"metrics"`
}

// A Source is one of the transports that events come by. Schedules come from
// policies and need no entry.
type Source struct {
	Directory *Directory `json:"directory"`
	Webhook   *Webhook   `json:"webhook"`
	SQS       *SQS       `json:"sqs"`
	NATS      *NATS      `json:"nats"`

	CloudWatch *CloudWatch `json:"cloudwatch"`
}

// Directory is a watched folder: a file in it is an object of a bucket.
type Directory struct {
	Path   Folder `json:"path"`
	Bucket string `json:"bucket"` // the folder's name if empty
	// Settle is how long a file must stay as it is before it is taken in. 2s
	// if zero.
	Settle policy.Duration `json:"settle,omitempty" min:"1ms"`
}

// A File is the path of a file.
type File string

func (f *File) decode(d *decoder, n *node, _ string) {
	switch {
	case n.kind != text || n.raw == "":
		d.wrong(n, "a file")
	case strings.Contains(n.raw, "://"):
		d.form(n, "a file is needed here, %s is not one", n.raw)
	default:
		*f = File(relative(d.file, n.raw))
	}
}

// A Channel is where notices go, of one kind: `log`, the daemon's log, written
// as the word or as {log: {}}, a signed webhook, a topic of SNS, or a bus of
// EventBridge, also as the word eventbridge for the default bus.
type Channel struct {
	Log         bool
	Webhook     *WebhookChannel
	SNS         *SNSChannel
	EventBridge *EventBridgeChannel
	// Repeat is how long a policy that holds for one reason is not told of
	// again. 24h if zero.
	Repeat policy.Duration
}

func (c *Channel) decode(d *decoder, n *node, path string) {
	if n.kind == text && n.raw == "log" {
		c.Log = true
		return
	}
	if n.kind == text && n.raw == "eventbridge" {
		c.EventBridge = &EventBridgeChannel{}
		return
	}
	var keys struct {
		Log         *struct{}           `json:"log"`
		Webhook     *WebhookChannel     `json:"webhook"`
		SNS         *SNSChannel         `json:"sns"`
		EventBridge *EventBridgeChannel `json:"eventbridge"`
		Repeat      policy.Duration     `json:"repeat"`

		Chat notBuilt `json:"chat"`
		Mail notBuilt `json:"mail"`
		NATS notBuilt `json:"nats"`
	}
	switch {
	case n.kind == text && slices.Contains([]string{"chat", "mail", "nats"}, n.raw):
		d.form(n, "%s is not built yet (have log, webhook, sns, eventbridge)", n.raw)
	case n.kind == mapping:
		d.object(reflectOf(&keys), n, path)
		c.Webhook, c.SNS, c.EventBridge, c.Repeat = keys.Webhook, keys.SNS, keys.EventBridge, keys.Repeat
		kinds := 0
		for _, e := range n.entries {
			switch { // without settings of its own, too
			case e.key == "log":
				c.Log = true
			case e.key == "webhook" && c.Webhook == nil:
				c.Webhook = &WebhookChannel{}
			case e.key == "sns" && c.SNS == nil:
				c.SNS = &SNSChannel{}
			case e.key == "eventbridge" && c.EventBridge == nil:
				c.EventBridge = &EventBridgeChannel{}
			}
			if e.key != "repeat" {
				kinds++
			}
		}
		if kinds != 1 {
			d.report(n.keyLine, n.keyColumn, "a channel has one kind: log, webhook, sns or eventbridge")
		}
	default:
		d.wrong(n, "a channel such as log")
	}
}

// A Folder is the path of a folder, or of a file where both will do.
type Folder string

func (f *Folder) decode(d *decoder, n *node, path string) {
	switch {
	case n.kind == mapping && path == "data":
		for _, e := range n.entries {
			if e.key == "nats" {
				d.form(n, "nats is not built yet: data is a folder")
				return
			}
		}
		d.wrong(n, "a folder")
	case n.kind != text || n.raw == "":
		d.wrong(n, "a folder")
	case strings.Contains(n.raw, "://"):
		d.form(n, "a folder is needed here, %s is not one", n.raw)
	default:
		*f = Folder(relative(d.file, n.raw))
	}
}

// relative is the path that a file names.
func relative(file, path string) string {
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(filepath.Dir(file), path)
}

// defaults fills in what the settings in file leave open: all defaults are here.
func (s *Settings) defaults(file string) {
	if s.Listen == "" {
		s.Listen = "127.0.0.1:8080"
	}
	s.Embedded.Region = cmp.Or(s.Embedded.Region, "us-east-1")
	s.Embedded.Account = cmp.Or(s.Embedded.Account, "123456789012")
	if s.Embedded.Listen == "" {
		s.Embedded.Listen = "127.0.0.1:8083"
		if _, port, _ := net.SplitHostPort(s.Listen); port == "0" {
			s.Embedded.Listen = "127.0.0.1:0"
		}
	}
	if s.Data == "" {
		s.Data = Folder(relative(file, "anneal-data"))
	}
	if s.Retention == 0 {
		s.Retention = policy.Duration(90 * 24 * time.Hour)
	}
	if s.Policies == nil {
		s.Policies = []Folder{Folder(relative(file, "policies"))}
	}
	if s.Staging == "" {
		s.Staging = filepath.Join(string(s.Data), "staging")
	} else if !strings.Contains(s.Staging, "://") {
		s.Staging = relative(file, s.Staging)
	}
	if s.Buckets == nil {
		s.Buckets = map[string]Folder{}
	}
	for _, source := range s.Sources {
		if d := source.Directory; d != nil {
			if d.Bucket == "" {
				d.Bucket = filepath.Base(string(d.Path))
			}
			if d.Settle == 0 {
				d.Settle = policy.Duration(2 * time.Second)
			}
			if _, ok := s.Buckets[d.Bucket]; !ok {
				s.Buckets[d.Bucket] = d.Path
			}
		}
	}
	if s.Embedded.AWS == "" {
		s.Embedded.AWS = "deny"
	}
	if s.Embedded.Jobs == 0 {
		s.Embedded.Jobs = 2
	}
	if s.Embedded.Logs.Megabytes == 0 {
		s.Embedded.Logs.Megabytes = 64
	}
	if s.Notify == nil {
		s.Notify = map[string]Channel{}
	}
	if _, ok := s.Notify["log"]; !ok {
		s.Notify["log"] = Channel{Log: true}
	}
	for name, channel := range s.Notify {
		if channel.Repeat == 0 {
			channel.Repeat = policy.Duration(24 * time.Hour)
			s.Notify[name] = channel
		}
	}
}

var bucketName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,254}$`)

// check reports what makes no sense in settings with their defaults.
func (s *Settings) check(d *decoder, builtins []string) {
	s.checkListen(d)
	s.Auth.check(d)
	if s.TLS != nil {
		s.TLS.check(d)
	}
	s.S3.Account().check(d, "s3")
	if rest, ok := strings.CutPrefix(s.Staging, "s3://"); ok {
		bucket, key, _ := strings.Cut(rest, "/")
		if _, ok := s.Buckets[bucket]; !ok && (bucket == "" || strings.Trim(key, "/") == "") {
			d.add("staging", -1, "want a prefix below a bucket: s3://BUCKET/staging/")
		}
	} else if strings.Contains(s.Staging, "://") {
		d.add("staging", -1, "staging is a folder or s3://…, not %s", s.Staging)
	}
	for _, name := range sortedKeys(s.Buckets) {
		if !bucketName.MatchString(name) {
			d.add(policy.At("buckets", name), -1, "%q is not a bucket's name: letters, digits, . - and _", name)
		}
	}
	for i := range s.Sources {
		s.checkSource(d, i)
	}
	for _, name := range sortedKeys(s.Notify) {
		if w := s.Notify[name].Webhook; w != nil {
			w.check(d, policy.At("notify", name)+".webhook")
		}
		if t := s.Notify[name].SNS; t != nil {
			t.check(d, policy.At("notify", name)+".sns")
		}
		if b := s.Notify[name].EventBridge; b != nil {
			b.check(d, policy.At("notify", name)+".eventbridge")
		}
	}
	s.CloudWatch.check(d, "cloudwatch")
	if m := s.Metrics.CloudWatch; m != nil {
		m.check(d, "metrics.cloudwatch")
	}
	s.Embedded.check(d, builtins, s.Notify)
	s.StepFunctions.Account().check(d, "stepFunctions")
}

// checkSource checks the source with index i, by itself and beside those before it.
func (s *Settings) checkSource(d *decoder, i int) {
	path, source, others := index("sources", i), s.Sources[i], s.Sources[:i]
	kinds := 0
	if w := source.Webhook; w != nil {
		kinds++
		w.check(d, path+".webhook", others)
	}
	if q := source.SQS; q != nil {
		kinds++
		q.check(d, path+".sqs", others)
	}
	if n := source.NATS; n != nil {
		kinds++
		n.check(d, path+".nats", others)
	}
	if c := source.CloudWatch; c != nil {
		kinds++
		c.check(d, path+".cloudwatch", others)
	}
	if source.Directory != nil {
		kinds++
		s.checkDirectory(d, path+".directory", source.Directory, others)
	}
	switch n := d.at(path); {
	case kinds > 1:
		d.add(path, -1, "a source has one kind: begin another entry with - for the other")
	case kinds == 0 && (n.kind == mapping && len(n.entries) == 0 || n.kind == null):
		d.add(path, -1, "a source has a kind: directory: {path: ./inbox}")
	}
}

func (s *Settings) checkDirectory(d *decoder, path string, dir *Directory, others []Source) {
	if dir.Path == "" {
		d.add(path+".path", -1, "a directory needs a path: {path: ./inbox}")
		return
	}
	if other := s.Buckets[dir.Bucket]; other != dir.Path && other != "" {
		d.add(path, -1, "the bucket %q is the folder %s already: give this one another bucket", dir.Bucket, other)
	}
	for j, other := range others {
		if other.Directory != nil && other.Directory.Path == dir.Path {
			d.add(path+".path", -1, "%s is the folder of %s already: each file in it would be two events", dir.Path, index("sources", j))
		}
	}
	for _, ours := range []struct{ key, folder string }{{"data", string(s.Data)}, {"staging", s.folder(s.Staging)}} {
		if inside(ours.folder, string(dir.Path)) {
			d.add(path+".path", -1, "%s, the folder of %s, is inside this one: what anneal writes would be new data", ours.folder, ours.key)
		}
	}
}

// folder is where a folder or s3://… of a mapped bucket is, empty if nowhere.
func (s *Settings) folder(uri string) string {
	rest, mapped := strings.CutPrefix(uri, "s3://")
	if !mapped {
		return uri
	}
	bucket, key, _ := strings.Cut(rest, "/")
	if folder := s.Buckets[bucket]; folder != "" {
		return filepath.Join(string(folder), key)
	}
	return ""
}

// inside reports whether path is folder or below it.
func inside(path, folder string) bool {
	below, err := filepath.Rel(folder, path)
	return path != "" && err == nil && below != ".." && !strings.HasPrefix(below, "../")
}

// refused reports whether one of the keys at path is reported already.
func (d *decoder) refused(path string, keys ...string) bool {
	return slices.ContainsFunc(keys, func(key string) bool { return d.bad[d.nodes[policy.At(path, key)]] })
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
