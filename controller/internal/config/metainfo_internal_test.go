package config

import (
	"testing"

	"inpod.dev/inpod/internal/version"
)

func TestMetaInfoIsWrittenWhereItIsAskedFor(t *testing.T) {
	t.Parallel()
	pod := []string{"POD_NAME=inpod-controller-6d4b75cb6d-x7k2p", "POD_NAMESPACE=inpod-system"}
	reloader := append([]string{"RELOADER_NAMESPACE=ops", "RELOADER_DEPLOYMENT_NAME=reloader"}, pod...)
	for name, tc := range map[string]struct {
		args, environ         []string
		asked                 bool
		namespace, deployment string
	}{
		"nobody asks":                       {nil, pod, false, "inpod-system", "inpod-controller"},
		"the flag":                          {[]string{"--meta-info"}, pod, true, "inpod-system", "inpod-controller"},
		"Reloader's variables":              {nil, reloader, true, "ops", "reloader"},
		"outside of a cluster":              {[]string{"--meta-info"}, nil, true, "default", ""},
		"a pod that no Deployment has made": {[]string{"--meta-info"}, []string{"POD_NAME=inpod"}, true, "default", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, err := Load(tc.args, tc.environ, version.Build{})
			if err != nil {
				t.Fatal(err)
			}
			namespace, deployment := c.Pod.Place()
			if c.MetaInfo != tc.asked || namespace != tc.namespace || deployment != tc.deployment {
				t.Errorf("got %t, in %q as %q", c.MetaInfo, namespace, deployment)
			}
		})
	}
}
