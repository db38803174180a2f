package deploy_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	goyaml "github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/yaml"
)

// manifests are those of deploy/kubernetes, each as the type of its kind.
type manifests struct {
	set        apps.StatefulSet
	service    core.Service
	account    core.ServiceAccount
	disruption policy.PodDisruptionBudget
	network    networking.NetworkPolicy
	maps       map[string]core.ConfigMap             // by name
	claims     map[string]core.PersistentVolumeClaim // by name
}

// readManifests decodes what the kustomization names, strictly: a field that
// Kubernetes does not know is an error.
func readManifests(t *testing.T) manifests {
	t.Helper()
	strict := func(file string, into any) {
		t.Helper()
		text, err := os.ReadFile(filepath.Join("kubernetes", file))
		if err != nil {
			t.Fatal(err)
		}
		if err := yaml.UnmarshalStrict(text, into); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
	}
	var kustomization struct {
		APIVersion, Kind string
		Resources        []string
		Images           []struct{ Name, NewName, NewTag string }
	}
	strict("kustomization.yaml", &kustomization)
	if kustomization.APIVersion != "kustomize.config.k8s.io/v1beta1" || kustomization.Kind != "Kustomization" {
		t.Errorf("kustomization.yaml is %s %s", kustomization.APIVersion, kustomization.Kind)
	}
	files, err := filepath.Glob("kubernetes/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if name := filepath.Base(file); name != "kustomization.yaml" && !slices.Contains(kustomization.Resources, name) {
			t.Errorf("%s is not among the resources", name)
		}
	}
	m := manifests{maps: map[string]core.ConfigMap{}, claims: map[string]core.PersistentVolumeClaim{}}
	for _, file := range kustomization.Resources {
		text, err := os.ReadFile(filepath.Join("kubernetes", file))
		if err != nil {
			t.Fatal(err)
		}
		var head struct{ APIVersion, Kind string }
		if err := yaml.Unmarshal(text, &head); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		switch kind := head.APIVersion + " " + head.Kind; kind {
		case "apps/v1 StatefulSet":
			strict(file, &m.set)
		case "v1 Service":
			strict(file, &m.service)
		case "v1 ServiceAccount":
			strict(file, &m.account)
		case "policy/v1 PodDisruptionBudget":
			strict(file, &m.disruption)
		case "networking.k8s.io/v1 NetworkPolicy":
			strict(file, &m.network)
		case "v1 ConfigMap":
			var c core.ConfigMap
			strict(file, &c)
			m.maps[c.Name] = c
		case "v1 PersistentVolumeClaim":
			var c core.PersistentVolumeClaim
			strict(file, &c)
			m.claims[c.Name] = c
		default:
			t.Errorf("%s is a %s, which this test does not know", file, kind)
		}
	}
	if len(m.set.Spec.Template.Spec.Containers) != 1 {
		t.Fatalf("the pod has %d containers, want 1", len(m.set.Spec.Template.Spec.Containers))
	}
	for _, image := range kustomization.Images {
		if image.Name != m.set.Spec.Template.Spec.Containers[0].Image {
			t.Errorf("the kustomization sets the image %s, the pod has %s", image.Name, m.set.Spec.Template.Spec.Containers[0].Image)
		}
	}
	return m
}

// settings are the ConfigMap's.
func (m manifests) settings() string { return m.maps["anneal"].Data["anneal.yaml"] }

func TestKubernetes(t *testing.T) {
	m := readManifests(t)
	_, final := dockerfile(t)
	set, spec := m.set.Spec, m.set.Spec.Template.Spec
	daemon := spec.Containers[0]

	if set.Replicas == nil || *set.Replicas != 1 {
		t.Errorf("%v replicas, want 1: the journal's folder has one owner", set.Replicas)
	}
	user := spec.SecurityContext
	if got, want := fmt.Sprintf("%d:%d", *user.RunAsUser, *user.RunAsGroup), final.one(t, "USER"); got != want {
		t.Errorf("runs as %s, the image as %s", got, want)
	}
	if !*user.RunAsNonRoot || *user.FSGroup != *user.RunAsGroup || user.SeccompProfile.Type != core.SeccompProfileTypeRuntimeDefault {
		t.Errorf("pod's securityContext is %+v, want non-root, its group on the volumes, and the runtime's seccomp profile", user)
	}
	rights := daemon.SecurityContext
	if rights.AllowPrivilegeEscalation == nil || *rights.AllowPrivilegeEscalation ||
		rights.ReadOnlyRootFilesystem == nil || !*rights.ReadOnlyRootFilesystem || !cmp.Equal(rights.Capabilities.Drop, []core.Capability{"ALL"}) {
		t.Errorf("container's securityContext is %+v, want no escalation, a read-only root and no capabilities", rights)
	}
	if spec.AutomountServiceAccountToken == nil || *spec.AutomountServiceAccountToken {
		t.Error("the pod has a token for the cluster, which it has no use for")
	}
	if grace := spec.TerminationGracePeriodSeconds; grace == nil || *grace < 40 {
		t.Errorf("%v seconds to stop, want more than the daemon's ten and the jobs' thirty", grace)
	}
	if daemon.Resources.Requests.Memory().IsZero() || daemon.Resources.Limits.Memory().IsZero() {
		t.Errorf("resources are %+v, want memory asked for and bounded", daemon.Resources)
	}

	// The image is started as its Dockerfile says, and waits longer.
	if daemon.Command != nil {
		t.Errorf("command %q replaces the image's ENTRYPOINT", daemon.Command)
	}
	if cmd := final.words(t, "CMD"); !cmp.Equal(cmd, daemon.Args[:min(len(cmd), len(daemon.Args))]) {
		t.Errorf("args %q do not begin with the image's CMD %q", daemon.Args, cmd)
	}

	// Each folder of the settings is mounted, from a volume that exists.
	var settings struct {
		Data     string
		Policies []string
		Sources  []struct{ Directory struct{ Path string } }
	}
	if err := goyaml.Unmarshal([]byte(m.settings()), &settings); err != nil {
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
		if !slices.ContainsFunc(daemon.VolumeMounts, func(m core.VolumeMount) bool { return m.MountPath == folder }) {
			t.Errorf("nothing is mounted at %s, which the settings name", folder)
		}
	}
	volumes := map[string]bool{}
	for _, claim := range set.VolumeClaimTemplates {
		volumes[claim.Name] = true
	}
	for _, v := range spec.Volumes {
		volumes[v.Name] = true
		if claim := v.PersistentVolumeClaim; claim != nil && m.claims[claim.ClaimName].Name == "" {
			t.Errorf("volume %s claims %s, which is not there", v.Name, claim.ClaimName)
		}
		if v.ConfigMap != nil && m.maps[v.ConfigMap.Name].Data == nil {
			t.Errorf("volume %s is of the ConfigMap %s, which is not there", v.Name, v.ConfigMap.Name)
		}
	}
	for _, mounted := range daemon.VolumeMounts {
		if !volumes[mounted.Name] {
			t.Errorf("%s is mounted from the volume %s, which the pod does not have", mounted.MountPath, mounted.Name)
		}
		if mounted.SubPath != "" {
			t.Errorf("%s is mounted by subPath: a change would not reach the daemon", mounted.MountPath)
		}
	}

	// What chooses the pod chooses it.
	pod := labels.Set(set.Template.Labels)
	for name, chosen := range map[string]map[string]string{
		"StatefulSet": set.Selector.MatchLabels, "Service": m.service.Spec.Selector,
		"PodDisruptionBudget": m.disruption.Spec.Selector.MatchLabels, "NetworkPolicy": m.network.Spec.PodSelector.MatchLabels,
	} {
		if len(chosen) == 0 || !labels.SelectorFromSet(chosen).Matches(pod) {
			t.Errorf("the %s chooses %v, the pod has %v", name, chosen, pod)
		}
	}
	if set.ServiceName != m.service.Name || spec.ServiceAccountName != m.account.Name {
		t.Errorf("the StatefulSet is served by %s and runs as %s, there are %s and %s", set.ServiceName, spec.ServiceAccountName, m.service.Name, m.account.Name)
	}
	for _, port := range m.service.Spec.Ports {
		if _, ok := ports(daemon)[port.TargetPort.String()]; !ok {
			t.Errorf("the Service sends to port %s, the container has %v", port.TargetPort.String(), ports(daemon))
		}
	}
	for _, rule := range m.network.Spec.Ingress {
		for _, port := range rule.Ports {
			if _, ok := ports(daemon)[port.Port.String()]; !ok {
				t.Errorf("the NetworkPolicy lets in to port %s, the container has %v", port.Port, ports(daemon))
			}
		}
	}
}

// ports are those of a container, by name.
func ports(c core.Container) map[string]int32 {
	all := map[string]int32{}
	for _, p := range c.Ports {
		all[p.Name] = p.ContainerPort
	}
	return all
}

// TestKubernetesPod runs the container's command with its arguments, environment
// and mounts, and asks its probes.
func TestKubernetesPod(t *testing.T) {
	m := readManifests(t)
	daemon := m.set.Spec.Template.Spec.Containers[0]
	w := workload{args: daemon.Args, env: map[string]string{}, folders: map[string]string{}, settings: m.settings(), port: ports(daemon)["http"]}
	for _, e := range daemon.Env {
		w.env[e.Name] = e.Value
	}
	root := t.TempDir()
	for _, mounted := range daemon.VolumeMounts {
		at := filepath.Join(root, mounted.MountPath)
		if err := os.MkdirAll(at, 0o777); err != nil {
			t.Fatal(err)
		}
		w.folders[mounted.MountPath] = at
	}
	for _, mounted := range daemon.VolumeMounts {
		for _, v := range m.set.Spec.Template.Spec.Volumes {
			if v.Name == mounted.Name && v.ConfigMap != nil {
				w.mount(t, w.folders[mounted.MountPath], m.maps[v.ConfigMap.Name].Data)
			}
		}
	}
	p := w.run(t)
	probes := map[string]*core.Probe{"startup": daemon.StartupProbe, "liveness": daemon.LivenessProbe, "readiness": daemon.ReadinessProbe}
	for _, name := range slices.Sorted(maps.Keys(probes)) {
		get := probes[name].HTTPGet
		if ports(daemon)[get.Port.String()] != w.port {
			t.Errorf("the %s probe asks port %s", name, get.Port.String())
		}
		p.awaitOK(t, get.Path)
	}
	// Nothing else is answered with the token that nobody has.
	if status := p.status(t, "/api/v1/events"); status != 401 {
		t.Errorf("events are answered with %d, want 401", status)
	}

	// A change of the ConfigMap, as the kubelet makes it, is taken in.
	changed := map[string]string{}
	for name, text := range m.maps["anneal-policies"].Data {
		changed[name] = strings.Replace(text, "name: example", "name: example-2", 1)
	}
	w.mount(t, w.folders["/policies"], changed)
	p.awaitLog(t, "policies reloaded", "policies=1")
	p.stop(t)
}
