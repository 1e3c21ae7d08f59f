//go:build presets

package presets

import (
	"encoding/base64"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// record shows the version in a TXT record.
func record(name string, class dnsmessage.Class) func(env) (string, error) {
	return func(e env) (string, error) { return text(e, name, class) }
}

// zoneFile is a zone whose TXT record and serial number are a version.
func zoneFile(name string) func(env, string) map[string]string {
	return func(_ env, v string) map[string]string {
		return map[string]string{name: fmt.Sprintf("$TTL 1\n@ SOA a root %d 1 1 1 1\n@ NS a\na A 10.0.0.1\nversion TXT inpod-%s\n", number(v), v)} //nolint:dupword // a zone file
	}
}

// policyFile is a response policy zone that answers for a name, in place of whoever knows it, with a version.
func policyFile(name, answers string) func(env, string) map[string]string {
	return func(_ env, v string) map[string]string {
		return map[string]string{name: fmt.Sprintf("$TTL 1\n@ SOA a root %d 1 1 1 1\n@ NS localhost.\n%s TXT inpod-%s\n", number(v), answers, v)} //nolint:dupword // a zone file
	}
}

// controlKey is the key of a version that controls named.
func controlKey(_ env, v string) map[string]string {
	secret := base64.StdEncoding.EncodeToString([]byte("inpod-" + v + "-0123456789abcdef"))
	return map[string]string{"keys/deep/control.key": fmt.Sprintf("key control { algorithm hmac-sha256; secret %q; };\n", secret)}
}

// controlledBy shows which key named takes.
func controlledBy(e env) (string, error) {
	for _, v := range []string{"v1", "v2"} {
		file := filepath.Join(e.data, v+".key")
		if err := os.WriteFile(file, []byte(controlKey(e, v)["keys/deep/control.key"]), 0o600); err != nil {
			return "", err
		}
		if _, err := output("rndc", "-s", "127.0.0.1", "-p", strconv.Itoa(e.port3), "-k", file, "status"); err == nil {
			return v, nil
		}
	}
	return "", nil
}

func bindApp() app {
	conf := func(e env, v string) map[string]string {
		return map[string]string{"named.conf": fmt.Sprintf(`options { directory %[1]q; pid-file "pid"; recursion no;
  response-policy { zone "policy"; } recursive-only no qname-wait-recurse no;
  listen-on port %[2]d { 127.0.0.1; }; listen-on port %[3]d tls own { 127.0.0.1; }; listen-on-v6 { none; }; };
tls own { cert-file "%[4]s/tls.crt"; key-file "%[4]s/tls.key"; };
include "%[4]s/keys/deep/control.key";
controls { inet 127.0.0.1 port %[6]d allow { 127.0.0.1; } keys { control; }; };
zone "policy" { type primary; file "%[4]s/policy.db"; };
zone "%[5]s.main" { type primary; file "%[1]s/static.db"; };
include "%[4]s/conf.d/deep/zones.conf";
`, e.data, e.port, e.port2, e.conf, v, e.port3)}
	}
	// The second version has one more zone.
	include := func(e env, v string) map[string]string {
		return map[string]string{"conf.d/deep/zones.conf": fmt.Sprintf(
			"zone \"%s.include\" { type primary; file \"%s/zone.db\"; };\nzone \"zone\" { type primary; file \"%s/zone.db\"; };\n", v, e.conf, e.conf)}
	}
	zone := zoneFile("zone.db")
	policy := policyFile("policy.db", "blocked.zone")
	zoneNamed := func(end string) func(env) (string, error) {
		return func(e env) (string, error) {
			for _, v := range []string{"v1", "v2"} {
				found, err := text(e, "version."+v+end, dnsmessage.ClassINET)
				if err != nil || found != "" {
					return v, err
				}
			}
			return "", nil
		}
	}
	s := bind()
	s.files, s.bad = nil, nil
	s.setup = func(t *testing.T, e env) { edit(t, e.data, zoneFile("static.db")(e, "v1")) }
	every := not("all of it is re-read")
	return app{
		server: s, version: []string{"named", "-v"},
		kinds: []fileKind{
			{
				name: "main", text: conf, shows: zoneNamed(".main."), bad: broken(conf, "nonsense here;"),
				cells: map[editKind]want{
					good: {result: unproven}, bad: {result: rejected, proof: "validator"}, restartOnly: every,
					deleted: {result: rejected}, mixed: {result: rejected},
				},
			},
			{
				name: "include in a nested folder", text: include, shows: zoneNamed(".include."), bad: broken(include, "zone {"),
				cells: map[editKind]want{
					good: {result: unproven}, bad: {result: rejected, proof: "validator"}, restartOnly: every,
					deleted: {result: rejected}, mixed: {result: rejected, main: oldOne},
				},
			},
			{
				name: "zone", text: zone, shows: record("version.zone.", dnsmessage.ClassINET), bad: broken(zone, "nonsense here there"),
				cells: map[editKind]want{
					good: {result: unproven}, bad: {result: rejected, proof: "validator"}, restartOnly: every,
					deleted: {result: rejected}, mixed: {result: rejected, main: oldOne},
				},
			},
			{
				name: "response policy zone", text: policy, shows: record("blocked.zone.", dnsmessage.ClassINET), bad: broken(policy, "nonsense here there"),
				cells: map[editKind]want{
					good: {result: unproven}, bad: {result: rejected, proof: "validator"}, restartOnly: every,
					deleted: {result: rejected}, mixed: {result: rejected, main: oldOne},
				},
			},
			{
				name: "key in a nested folder", text: controlKey, shows: controlledBy, bad: broken(controlKey, "nonsense here;"),
				cells: map[editKind]want{
					good: {result: unproven}, bad: {result: rejected, proof: "validator"}, restartOnly: every,
					deleted: {result: rejected}, mixed: {result: rejected, main: oldOne},
				},
			},
			{
				name: "certificate and key", text: certFiles("tls.crt", "tls.key"), shows: leaf(port2), bad: mismatched("tls.crt", "tls.key"),
				cells: map[editKind]want{
					// named-checkconf does not look at them; named refuses the reload as a whole, in its log.
					good: {result: unproven}, bad: {result: rejected, message: "private key does not match"}, restartOnly: every,
					deleted: {result: unproven, serves: oldOne}, mixed: {result: rejected, main: oldOne},
				},
			},
		},
	}
}

func unboundApp() app {
	confAt := func(e env, v, at string) map[string]string {
		return map[string]string{"unbound.conf": fmt.Sprintf(`server:
 module-config: "respip iterator"
 username: ""
 chroot: ""
 directory: %[1]q
 pidfile: ""
 use-syslog: no
 do-daemonize: no
 port: %[2]d
 interface: %[6]s
 interface: 127.0.0.1@%[3]d
 tls-port: %[3]d
 tls-service-key: "%[4]s/tls.key"
 tls-service-pem: "%[4]s/tls.crt"
 local-zone: "x." static
 local-data: 'version.x. TXT inpod-%[5]s'
include: "%[4]s/conf.d/deep/*.conf"
auth-zone:
 name: "zone."
 zonefile: "%[4]s/zone.db"
rpz:
 name: "policy."
 zonefile: "%[4]s/policy.db"
remote-control:
 control-enable: no
`, e.data, e.port, e.port2, e.conf, v, at)}
	}
	conf := func(e env, v string) map[string]string { return confAt(e, v, "127.0.0.1") }
	include := func(_ env, v string) map[string]string {
		return map[string]string{"conf.d/deep/more.conf": "server:\n local-data: 'more.x. TXT inpod-" + v + "'\n"}
	}
	zone := zoneFile("zone.db")
	s := unbound()
	s.files, s.bad = nil, nil
	// A joined option: another file was checked because of it.
	s.argv = func(e env) []string { return []string{"unbound", "-dc" + e.conf + "/unbound.conf"} }
	policy := policyFile("policy.db", "blocked.y")
	every := not("all of it is re-read, but for interfaces")
	return app{
		server: s, version: []string{"unbound", "-V"},
		kinds: []fileKind{
			{
				name: "main", text: conf, shows: record("version.x.", dnsmessage.ClassINET), bad: broken(conf, "nonsense: here"),
				// The rest of the file is taken, and still answered at the address of before.
				restart: func(e env) map[string]string { return confAt(e, "v2", "127.0.0.2") },
				cells: map[editKind]want{
					good: {result: unproven}, bad: {result: rejected, proof: "validator"}, restartOnly: {result: unproven},
					deleted: {result: rejected}, mixed: {result: rejected},
				},
			},
			{
				name: "include in a nested folder", text: include, shows: record("more.x.", dnsmessage.ClassINET), bad: broken(include, "nonsense: here"),
				cells: map[editKind]want{
					good: {result: unproven}, bad: {result: rejected, proof: "validator"}, restartOnly: every,
					deleted: {result: rejected}, mixed: {result: rejected, main: oldOne}, // the pattern matches nothing
				},
			},
			{
				name: "zone", text: zone, shows: record("version.zone.", dnsmessage.ClassINET), bad: broken(zone, "nonsense here there"),
				cells: map[editKind]want{
					good: {result: unproven}, bad: {result: rejected, proof: "validator"}, restartOnly: every,
					deleted: {result: rejected}, mixed: {result: rejected, main: oldOne},
				},
			},
			{
				name: "response policy zone", text: policy, shows: record("blocked.y.", dnsmessage.ClassINET), bad: broken(policy, "nonsense here there"),
				cells: map[editKind]want{
					good: {result: unproven}, bad: {result: rejected, proof: "validator"}, restartOnly: every,
					deleted: {result: rejected}, mixed: {result: rejected, main: oldOne},
				},
			},
			{
				name: "certificate and key", text: certFiles("tls.crt", "tls.key"), shows: leaf(port2), bad: mismatched("tls.crt", "tls.key"),
				cells: map[editKind]want{
					good: {result: needsRestart, serves: oldOne}, bad: {result: needsRestart}, restartOnly: {not: "each change of it needs a restart"},
					deleted: {result: needsRestart}, mixed: {result: needsRestart, main: oldOne},
				},
			},
		},
	}
}

func dnsmasqApp() app {
	address := func(v string) string { return "10.0.0." + v[1:] }
	conf := func(e env, v string) map[string]string {
		return map[string]string{"dnsmasq.conf": fmt.Sprintf("address=/main.x/%s\nconf-dir=%s/conf.d/deep\naddn-hosts=%s/hosts\nhostsdir=%s/hosts.d\n",
			address(v), e.conf, e.conf, e.conf)}
	}
	include := func(_ env, v string) map[string]string {
		return map[string]string{"conf.d/deep/more.conf": "address=/more.x/" + address(v) + "\n"}
	}
	hosts := func(name, host string) func(env, string) map[string]string {
		return func(_ env, v string) map[string]string {
			return map[string]string{name: address(v) + " " + host + "\n"}
		}
	}
	shown := func(name string) func(env) (string, error) {
		return func(e env) (string, error) {
			answer, err := ask(e, name, dnsmessage.TypeA, dnsmessage.ClassINET)
			if err != nil || len(answer) == 0 {
				return "", err
			}
			a, ok := answer[0].Body.(*dnsmessage.AResource)
			if !ok {
				return "", nil
			}
			return fmt.Sprintf("v%d", a.A[3]), nil
		}
	}
	restarts := map[editKind]want{
		good: {result: needsRestart, serves: oldOne}, bad: {result: needsRestart}, restartOnly: not("each change of it needs a restart"),
		deleted: {result: needsRestart}, mixed: {result: needsRestart},
	}
	list := map[editKind]want{
		good: {result: unproven}, bad: {result: unproven}, restartOnly: not("all of it is re-read"),
		deleted: {result: unproven, serves: nothing}, mixed: {result: needsRestart, main: oldOne},
	}
	// dnsmasq watches the folder, and forgets its names when the kubelet removes the old one.
	folder := maps.Clone(list)
	folder[bad] = want{result: unproven} // it skips a line that it does not understand
	folder[mixed] = want{result: needsRestart, serves: nothing, main: oldOne}
	return app{
		server: server{
			preset: "dnsmasq", program: "dnsmasq",
			argv: func(e env) []string {
				return []string{
					"dnsmasq", "-khRz", "-C" + e.conf + "/dnsmasq.conf", "-p", strconv.Itoa(e.port), "-a", "127.0.0.1",
					"--pid-file=" + e.data + "/pid", "--user=root",
				}
			},
		},
		version: []string{"dnsmasq", "-v"},
		kinds: []fileKind{
			{name: "main", text: conf, shows: shown("main.x."), bad: broken(conf, "nonsense"), cells: restarts},
			{name: "include in a nested folder", text: include, shows: shown("more.x."), bad: broken(include, "nonsense"), cells: restarts},
			{name: "hosts (addn-hosts)", text: hosts("hosts", "host.x"), shows: shown("host.x."), bad: broken(hosts("hosts", "host.x"), "nonsense"), cells: list},
			{
				name: "hosts in a folder (hostsdir)", text: hosts("hosts.d/one", "one.x"), shows: shown("one.x."),
				bad: broken(hosts("hosts.d/one", "one.x"), "nonsense"), cells: folder,
			},
		},
	}
}
