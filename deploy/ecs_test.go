package deploy_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/awslabs/goformation/v7"
	"github.com/awslabs/goformation/v7/cloudformation/ecs"
	"github.com/google/go-cmp/cmp"
)

// TestECS parses the template as CloudFormation's types have it, compares it with
// the image, and runs the container's command.
func TestECS(t *testing.T) {
	template, err := goformation.Open("ecs/service.yaml")
	if err != nil {
		t.Fatal(err)
	}
	_, final := dockerfile(t)
	task, err := template.GetECSTaskDefinitionWithName("Task")
	if err != nil {
		t.Fatal(err)
	}
	service, err := template.GetECSServiceWithName("Service")
	if err != nil {
		t.Fatal(err)
	}
	point, err := template.GetEFSAccessPointWithName("AccessPoint")
	if err != nil {
		t.Fatal(err)
	}
	if len(task.ContainerDefinitions) != 1 {
		t.Fatalf("the task has %d containers, want 1", len(task.ContainerDefinitions))
	}
	daemon := task.ContainerDefinitions[0]

	// One at a time.
	d := service.DeploymentConfiguration
	if *service.DesiredCount != 1 || *d.MinimumHealthyPercent != 0 || *d.MaximumPercent != 100 {
		t.Errorf("%d tasks, %d to %d %% in a deployment; want 1, and the old one to end first", *service.DesiredCount, *d.MinimumHealthyPercent, *d.MaximumPercent)
	}
	if *daemon.StopTimeout != 120 {
		t.Errorf("%d seconds to stop, want Fargate's most", *daemon.StopTimeout)
	}
	user := final.one(t, "USER")
	if got := *daemon.User; got != user || point.PosixUser.Uid+":"+point.PosixUser.Gid != user {
		t.Errorf("runs as %s, writes as %+v; the image runs as %s", got, point.PosixUser, user)
	}
	if !*daemon.ReadonlyRootFilesystem || !cmp.Equal(daemon.LinuxParameters.Capabilities.Drop, []string{"ALL"}) {
		t.Error("want a read-only root and no capabilities")
	}
	cmd := final.words(t, "CMD")
	if !cmp.Equal(daemon.Command[:min(len(cmd), len(daemon.Command))], cmd) {
		t.Errorf("command %q does not begin with the image's CMD %q", daemon.Command, cmd)
	}
	volume := final.words(t, "VOLUME")[0]
	for _, m := range daemon.MountPoints {
		if *m.ContainerPath != volume || !slices.ContainsFunc(task.Volumes, func(v ecs.TaskDefinition_Volume) bool {
			return *v.Name == *m.SourceVolume && v.EFSVolumeConfiguration != nil && *v.EFSVolumeConfiguration.TransitEncryption == "ENABLED"
		}) {
			t.Errorf("%s is mounted from %s; want %s, from a volume on EFS over TLS", *m.ContainerPath, *m.SourceVolume, volume)
		}
	}

	// The command, as the task runs it.
	settings, err := os.ReadFile("ecs/anneal.yaml")
	if err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	w := workload{
		args: daemon.Command, settings: string(settings) + "listen: 127.0.0.1:8080\n", port: 8080,
		folders: map[string]string{volume: filepath.Join(root, "data"), "/etc/anneal": filepath.Join(root, "etc")},
		env: map[string]string{
			"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_REGION": "eu-central-1", // there is no AWS here, which it stands
			"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
		},
	}
	for _, e := range daemon.Environment {
		w.env[*e.Name] = ""
		if e.Value != nil { // else it is a parameter of the stack
			w.env[*e.Name] = w.mapped(*e.Value)
		}
	}
	if _, ok := w.env["ANNEAL_QUEUE_URL"]; !ok {
		t.Errorf("the environment %v has no ANNEAL_QUEUE_URL, which the settings name", w.env)
	}
	w.env["ANNEAL_QUEUE_URL"] = "https://sqs.eu-central-1.amazonaws.com/123456789012/uploads"
	for _, folder := range w.folders {
		if err := os.MkdirAll(filepath.Join(folder, "policies"), 0o777); err != nil {
			t.Fatal(err)
		}
	}
	w.mount(t, w.folders["/etc/anneal"], map[string]string{"anneal.yaml": w.settings})
	p := w.run(t)
	p.awaitOK(t, "/readyz")

	entry := final.words(t, "ENTRYPOINT")[0]
	check := daemon.HealthCheck.Command
	if len(check) < 2 || check[0] != "CMD" || check[1] != entry {
		t.Fatalf("the health check is %q, want CMD and %s: the image has nothing else", check, entry)
	}
	if out, err := p.command(check[2:]...).CombinedOutput(); err != nil {
		t.Errorf("%q of a healthy daemon: %v\n%s", check, err, out)
	}
	p.stop(t)
	if out, err := p.command(check[2:]...).CombinedOutput(); err == nil {
		t.Errorf("%q with no daemon is well:\n%s", check, out)
	}
}
