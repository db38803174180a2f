package configs

import "path/filepath"

// Logs is where executions are logged whose state machine has a loggingConfiguration,
// and whose log group is not AWS's to keep: a file of JSON lines a log group.
type Logs struct {
	// Path is the folder. The folder logs in the data folder if empty; then log groups
	// are those of CloudWatch Logs where aws is allow.
	Path Folder `json:"path"`
	// Megabytes are how large the lines of one group may be; the oldest go first. 64 if
	// zero.
	Megabytes int `json:"megabytes,omitempty" min:"2"`
}

// LogsFolder is where executions are logged, and whether that is set.
func (s *Settings) LogsFolder() (path string, set bool) {
	if s.Embedded.Logs.Path != "" {
		return string(s.Embedded.Logs.Path), true
	}
	return filepath.Join(string(s.Data), "logs"), false
}

func (l *Logs) check(d *decoder) {
	if l.Megabytes < 2 {
		d.add("embedded.logs.megabytes", -1, "%d megabytes: at least 2", l.Megabytes)
	}
}
