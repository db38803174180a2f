package anneal

import (
	"strconv"
	"time"
)

// A Stage is where a model version stands on its way to serving.
type Stage string

// The stages. The live one of a group is its champion.
const (
	StageCandidate Stage = "candidate"
	StageShadow    Stage = "shadow"
	StageCanary    Stage = "canary"
	StageLive      Stage = "live"
	StageRetired   Stage = "retired"
)

// A Model is one version in a model group.
type Model struct {
	Group     string             `json:"group"`
	Version   int                `json:"version"` // 1, 2, 3, … in its group
	Stage     Stage              `json:"stage"`
	Metrics   map[string]float64 `json:"metrics"`
	Artifact  Artifact           `json:"artifact"`
	Run       string             `json:"run"`
	TrainedAt time.Time          `json:"trainedAt"`
	Objects   []Object           `json:"objects"` // what it was trained on

	// Importance is what columns are worth to the model, on a scale of its own, where
	// its run says so; ImportanceProblem is why it is not known, where it did.
	Importance        map[string]float64 `json:"importance,omitempty"`
	ImportanceProblem string             `json:"importanceProblem,omitempty"`

	// StageAt and Reason say when and why it came to its stage.
	StageAt time.Time `json:"stageAt"`
	Reason  string    `json:"reason,omitempty"`
}

// ModelID is the identity of a version: group@version.
func ModelID(group string, version int) string { return group + "@" + strconv.Itoa(version) }

// ID is the model's identity: group@version.
func (m Model) ID() string { return ModelID(m.Group, m.Version) }

// An Artifact is the file a training left behind. SHA256 and Bytes are empty
// where it could not be read; Problem then says why.
type Artifact struct {
	URI     string `json:"uri"`
	SHA256  string `json:"sha256,omitempty"` // hex
	Bytes   int64  `json:"bytes"`
	Problem string `json:"problem,omitempty"`
}
