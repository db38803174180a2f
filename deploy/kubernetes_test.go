package deploy_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
)

// The parts of Kubernetes' types that are looked at.
type (
	manifest struct {
		Kind     string
		Metadata struct{ Name string }
		Data     map[string]string // of a ConfigMap
		Spec     struct {          // of a StatefulSet
			Replicas             int
			Template             struct{ Spec pod }
			VolumeClaimTemplates []struct{ Metadata struct{ Name string } } `yaml:"volumeClaimTemplates"`
		}
	}
	pod struct {
		SecurityContext struct {
			RunAsNonRoot   bool                  `yaml:"runAsNonRoot"`
			RunAsUser      int                   `yaml:"runAsUser"`
			RunAsGroup     int                   `yaml:"runAsGroup"`
			FSGroup        int                   `yaml:"fsGroup"`
			SeccompProfile struct{ Type string } `yaml:"seccompProfile"`
		} `yaml:"securityContext"`
		Containers []container
		Volumes    []volume
	}
	container struct {
		Command, Args   []string
		SecurityContext struct {
			AllowPrivilegeEscalation *bool `yaml:"allowPrivilegeEscalation"`
			ReadOnlyRootFilesystem   bool  `yaml:"readOnlyRootFilesystem"`
			Capabilities             struct{ Drop []string }
		} `yaml:"securityContext"`
		ReadinessProbe struct {
			Exec struct{ Command []string }
		} `yaml:"readinessProbe"`
		VolumeMounts []mount `yaml:"volumeMounts"`
	}
	mount struct {
		Name      string
		MountPath string `yaml:"mountPath"`
	}
	volume struct {
		Name                  string
		PersistentVolumeClaim *struct {
			ClaimName string `yaml:"claimName"`
		} `yaml:"persistentVolumeClaim"`
	}
)

func TestKubernetes(t *testing.T) {
	text, err := os.ReadFile("kubernetes/anneal.yaml")
	if err != nil {
		t.Fatal(err)
	}
	manifests := map[string]manifest{} // by kind/name
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	for {
		var m manifest
		err := decoder.Decode(&m)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		manifests[m.Kind+"/"+m.Metadata.Name] = m
	}
	_, final := dockerfile(t)
	set := manifests["StatefulSet/anneal"].Spec
	spec := set.Template.Spec
	if len(spec.Containers) != 1 {
		t.Fatalf("the pod has %d containers, want 1", len(spec.Containers))
	}
	daemon := spec.Containers[0]

	if set.Replicas != 1 {
		t.Errorf("%d replicas, want 1: the journal's folder has one owner", set.Replicas)
	}
	user := spec.SecurityContext
	if got, want := fmt.Sprintf("%d:%d", user.RunAsUser, user.RunAsGroup), final.one(t, "USER"); got != want {
		t.Errorf("runs as %s, the image as %s", got, want)
	}
	if !user.RunAsNonRoot || user.FSGroup != user.RunAsGroup || user.SeccompProfile.Type != "RuntimeDefault" {
		t.Errorf("pod's securityContext is %+v, want non-root, its group on the volumes, and the runtime's seccomp profile", user)
	}
	rights := daemon.SecurityContext
	if rights.AllowPrivilegeEscalation == nil || *rights.AllowPrivilegeEscalation ||
		!rights.ReadOnlyRootFilesystem || !cmp.Equal(rights.Capabilities.Drop, []string{"ALL"}) {
		t.Errorf("container's securityContext is %+v, want no escalation, a read-only root and no capabilities", rights)
	}

	// The image is started as its Dockerfile says, and asked by its own binary.
	if daemon.Command != nil {
		t.Errorf("command %q replaces the image's ENTRYPOINT", daemon.Command)
	}
	if diff := cmp.Diff(final.words(t, "CMD"), daemon.Args); diff != "" {
		t.Errorf("args differ from the image's CMD (-CMD +args):\n%s", diff)
	}
	if got, want := daemon.ReadinessProbe.Exec.Command, final.words(t, "ENTRYPOINT")[0]; len(got) == 0 || got[0] != want {
		t.Errorf("readiness is asked by %q, want %s: the image has nothing else", got, want)
	}

	// Each folder of the settings is mounted, from a volume that exists.
	var settings struct {
		Data     string
		Policies []string
		Sources  []struct{ Directory struct{ Path string } }
	}
	if err := yaml.Unmarshal([]byte(manifests["ConfigMap/anneal"].Data["anneal.yaml"]), &settings); err != nil {
		t.Fatal(err)
	}
	if got, want := []string{settings.Data}, final.words(t, "VOLUME"); !cmp.Equal(got, want) {
		t.Errorf("data is in %q, the image's volumes are %q", got, want)
	}
	folders := append(settings.Policies, settings.Data)
	for _, source := range settings.Sources {
		folders = append(folders, source.Directory.Path)
	}
	for _, folder := range folders {
		if !slices.ContainsFunc(daemon.VolumeMounts, func(m mount) bool { return m.MountPath == folder }) {
			t.Errorf("nothing is mounted at %s, which the settings name", folder)
		}
	}
	volumes := map[string]bool{}
	for _, claim := range set.VolumeClaimTemplates {
		volumes[claim.Metadata.Name] = true
	}
	for _, v := range spec.Volumes {
		volumes[v.Name] = true
		if claim := v.PersistentVolumeClaim; claim != nil && manifests["PersistentVolumeClaim/"+claim.ClaimName].Kind == "" {
			t.Errorf("volume %s claims %s, which the file does not have", v.Name, claim.ClaimName)
		}
	}
	for _, m := range daemon.VolumeMounts {
		if !volumes[m.Name] {
			t.Errorf("%s is mounted from the volume %s, which the pod does not have", m.MountPath, m.Name)
		}
	}
}
