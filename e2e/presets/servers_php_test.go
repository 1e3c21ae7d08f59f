//go:build presets

package presets

import (
	"bytes"
	big "encoding/binary"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"time"
)

func phpApp() app {
	program := "php-fpm"
	if found, _ := filepath.Glob("/usr/sbin/php-fpm*"); len(found) > 0 {
		program = found[0]
	}
	main := func(e env, v string) map[string]string {
		return map[string]string{"fpm.conf": fmt.Sprintf("[global]\npid=%[1]s/pid\nerror_log=%[1]s/err\ninclude=%[2]s/pool.d/deep/*.conf\n"+
			"[main]\nuser=www-data\nlisten=%[3]s\npm=static\npm.max_children=2\nenv[VERSION]=inpod-%[4]s\n", e.data, e.conf, e.listen(), v)}
	}
	pool := func(e env, v string) map[string]string {
		return map[string]string{"pool.d/deep/more.conf": fmt.Sprintf("[more]\nuser=www-data\nlisten=127.0.0.1:%d\npm=static\npm.max_children=1\nenv[VERSION]=inpod-%s\n", e.port2, v)}
	}
	settings := oneFile("php.ini", "user_agent=inpod-%s\n")
	script := oneFile("app/page.php", "<?php echo 'inpod-%s';\n")
	env1 := func(e env) int { return e.port }
	all := not("a reload starts the program again, with everything in its files")
	return app{
		server: server{
			preset: "php-fpm", program: program,
			argv:  func(e env) []string { return []string{program, "-F", "-c", e.conf, "-y", e.conf + "/fpm.conf"} },
			setup: copyTo("copied.php"),
		},
		version: []string{program, "-v"},
		kinds: []fileKind{
			{
				name: "main", text: main, shows: fastcgi(env1, "<?php echo getenv('VERSION');"), bad: broken(main, "nonsense = here"),
				cells: map[editKind]want{
					good: {result: proven}, bad: {result: rejected}, restartOnly: all, deleted: {result: rejected},
					mixed: {result: rejected},
				},
			},
			{
				name: "include in a nested folder", text: pool, shows: fastcgi(port2, "<?php echo getenv('VERSION');"),
				bad: broken(pool, "nonsense = here"),
				cells: map[editKind]want{
					good: {result: proven}, bad: {result: rejected}, restartOnly: all,
					deleted: {result: rejected}, mixed: {result: rejected, main: oldOne}, // a pattern has to match
				},
			},
			{
				name: "php.ini", text: settings, shows: fastcgi(env1, "<?php echo ini_get('user_agent');"),
				bad: broken(settings, "nonsense = [ ("),
				cells: map[editKind]want{
					good: {result: proven}, bad: {result: proven}, restartOnly: all,
					deleted: {result: unproven, serves: nothing}, mixed: {result: proven, main: newOne},
				},
			},
			{
				name: "script", text: script, shows: fastcgi(env1, ""), bad: broken(script, "nonsense here ((("),
				cells: map[editKind]want{ // nothing names a script but a request
					good: {result: unproven}, bad: {result: unproven, serves: nothing}, restartOnly: not("it is read at each request"),
					deleted: {result: unproven, serves: nothing}, mixed: {result: unproven, serves: nothing, main: newOne},
				},
			},
			copiedAtTheStart(oneFile("source/copied.php", "<?php echo 'inpod-%s';\n"), func(e env) (string, error) {
				return fastcgiFile(env1(e), filepath.Join(e.data, "copied.php"))
			}),
		},
	}
}

// fastcgi asks PHP for the script of the application, or for a text that is run in its place.
func fastcgi(port func(env) int, text string) func(env) (string, error) {
	return func(e env) (string, error) {
		file := e.conf + "/app/page.php"
		if text != "" {
			file = filepath.Join(e.data, fmt.Sprintf("%x.php", text[len(text)-12:]))
			if err := writeOnce(file, text); err != nil {
				return "", err
			}
		}
		return fastcgiFile(port(e), file)
	}
}

// fastcgiFile asks PHP for a script.
func fastcgiFile(port int, file string) (string, error) {
	conn, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", port), time.Second)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(2 * time.Second))
	var params bytes.Buffer
	for _, pair := range [][2]string{{"SCRIPT_FILENAME", file}, {"REQUEST_METHOD", "GET"}, {"SCRIPT_NAME", "/x"}} {
		params.Write([]byte{byte(len(pair[0])), byte(len(pair[1]))})
		params.WriteString(pair[0] + pair[1])
	}
	const begin, parameters, stdin = 1, 4, 5
	for _, record := range []struct {
		kind byte
		body []byte
	}{{begin, []byte{0, 1, 0, 0, 0, 0, 0, 0}}, {parameters, params.Bytes()}, {parameters, nil}, {stdin, nil}} {
		header := []byte{1, record.kind, 0, 1, 0, 0, 0, 0}
		big.BigEndian.PutUint16(header[4:], uint16(len(record.body)))
		if _, err := conn.Write(append(header, record.body...)); err != nil {
			return "", err
		}
	}
	answer, err := io.ReadAll(conn)
	return versionIn(strings.ReplaceAll(string(answer), "\x00", "")), err
}
