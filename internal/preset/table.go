package preset

import "time"

// All is the table. Triggers, validators, proofs and what happens on a bad file were seen with the real servers of
// Debian 12, unless a comment says otherwise; NotReread is from the servers' documentation.
func All() []Preset {
	return append(append(webServers(), dataAndNames()...), append(observability(), refused()...)...)
}

func webServers() []Preset {
	return []Preset{
		{
			Name: "nginx", Processes: []string{"nginx"}, Signal: "HUP",
			Grammar: new(nginxGrammar()), Explainers: [][]string{{"nginx", "-t", "-q", Options}},
			Proof: Proof{Kind: ProofWorkers, Draining: "worker process is shutting down", Masked: true}, BadFile: Keeps,
			Configuration: &Configuration{
				Options: []string{"-c"}, Bases: []string{"-p"}, Includes: []string{"include"}, Comments: "#", Complete: true,
				Defaults: []string{"/etc/nginx/nginx.conf", "/usr/local/openresty/nginx/conf/nginx.conf", "/usr/local/nginx/conf/nginx.conf"},
			},
			Files: []FileRule{
				{
					// The entrypoint of the official image, and of what is built on it.
					Name: "template rendered at the start", Globs: []string{"templates/*.template", "templates/*/*.template"},
					Effect: AtStart, Reason: "a template is rendered into the configuration when the container starts",
				},
				{Name: "user list", Directives: []string{"auth_basic_user_file"}, Effect: AtUse},
				{Name: "static file", Directives: []string{"root", "alias"}, Effect: AtUse},
				{Name: "certificate and key", Directives: []string{"ssl_certificate", "ssl_certificate_key"}, Effect: Reread},
			},
			NotReread: "settings that need another binary or other command line flags",
		},
		{
			// Without -W, USR2 is ignored and USR1 ends it: so a process without workers is refused.
			Name: "haproxy", Processes: []string{"haproxy"}, Signal: "USR2", NeedsWorkers: true,
			Grammar: new(haproxyGrammar()), Explainers: [][]string{{"haproxy", "-c", Options}},
			Internal: []string{"HAPROXY_MWORKER_REEXEC", "HAPROXY_MWORKER_WAIT_ONLY", "HAPROXY_PROCESSES", "HAPROXY_STARTUPLOGS_FD"},
			// From 3.1 on, the master starts a new worker at once, which reads the files and ends when they are bad; it ends the
			// old ones when the new one is ready.
			Proof: Proof{
				Kind: ProofWorkers, WorkersRead: true, Masked: true, Version: "HAPROXY_STARTUP_VERSION", MasterReadsBefore: [2]int{3, 1},
			},
			Linger: time.Second, BadFile: Keeps,
			Configuration: &Configuration{
				Options: []string{"-f", "--"}, Bases: []string{"-C"}, Comments: "#",
			},
			NotReread: "nothing, in master-worker mode (-W)",
		},
		{
			Name: "apache2", Processes: []string{"apache2", "httpd"}, Signal: "USR1",
			// apachectl brings the variables of the distribution (envvars), if the sidecar has not the same as the server.
			Grammar: new(apacheGrammar()), Validators: [][]string{{"apachectl", "-t", Options}, {Comm, "-t", Options}},
			MustValidate: true, Proof: Proof{Kind: ProofWorkers}, Linger: time.Second, BadFile: Exits,
			Configuration: &Configuration{
				Options: []string{"-f"}, Bases: []string{"-d", "ServerRoot"}, Includes: []string{"Include", "IncludeOptional"}, Comments: "#",
				Defaults: []string{"/etc/apache2/apache2.conf", "/usr/local/apache2/conf/httpd.conf", "/etc/httpd/conf/httpd.conf"},
				Complete: true, StartOnly: []string{"serverlimit", "threadlimit"},
			},
			NotReread: "ServerLimit and ThreadLimit",
		},
		{
			Name: "caddy", Processes: []string{"caddy"}, URL: "http://127.0.0.1:2019/load", BodyFrom: "Caddyfile",
			// Without the header, a configuration that is the same as before is not loaded, and with it not the certificates
			// that it names.
			ContentType: "text/caddyfile", Headers: map[string]string{"Cache-Control": "must-revalidate"},
			// It answers well also when a certificate cannot be loaded.
			Proof: Proof{Kind: ProofAnswer}, BadFile: Keeps, Guard: true,
			Configuration: &Configuration{Includes: []string{"import"}, Comments: "#"}, // it begins with what is sent
			NotReread:     "nothing; the server itself reads the files that the Caddyfile imports",
		},
		{
			Name: "squid", Processes: []string{"squid"}, Signal: "HUP",
			Grammar: new(squidGrammar()), Validators: [][]string{{"squid", "-k", "parse", Options}}, MustValidate: true,
			Proof: Proof{Kind: ProofAlive}, Linger: 2 * time.Second, BadFile: Exits, Guard: true,
			Configuration: &Configuration{
				Options: []string{"-f"}, Defaults: []string{"/etc/squid/squid.conf"}, Includes: []string{"include"}, Comments: "#",
				StartOnly: []string{"workers", "chroot"},
			},
			NotReread: "workers and chroot",
		},
		{
			Name: "php-fpm", Processes: []string{"php-fpm"}, Signal: "USR2",
			// Its title hides its arguments, and shows the configuration in parentheses.
			Grammar:    new(phpGrammar()),
			Validators: [][]string{{Comm, "-t", "-y", Title}, {"php-fpm", "-t", "-y", Title}, {Comm, "-t", Options}}, MustValidate: true,
			Proof: Proof{Kind: ProofWorkers}, Linger: time.Second, BadFile: Exits,
			Configuration: &Configuration{Includes: []string{"include"}, Comments: ";#"}, // it begins in the title
			NotReread:     "nothing: it starts itself again under the same PID",
		},
		{
			Name: "uwsgi", Processes: []string{"uwsgi", "uwsgi-core", "uWSGI"}, Signal: "HUP",
			// The options that name a file of configuration; it has hundreds of others.
			Proof: Proof{Kind: ProofWorkers}, Linger: time.Second, BadFile: Exits, Guard: true,
			Configuration: &Configuration{
				Loose: []string{"--ini", "-i", "--yaml", "--yml", "-y", "--xml", "-x", "--json", "-j", "--include"},
				Bases: []string{"chdir"}, Includes: []string{"ini", "yaml", "yml", "xml", "json", "include", "inherit"}, Comments: "#;",
			},
			Files: []FileRule{
				{Name: "static file", Directives: []string{"static-map", "static-map2", "check-static", "static-index"}, Effect: AtUse},
			},
			NotReread: "the application when it is loaded lazily; the server accepts unknown keys without a message",
		},
		{
			// The master and its workers look the same, and HUP kills a worker: the parent is the one.
			Name: "gunicorn", Processes: []string{"gunicorn"}, Signal: "HUP",
			Validators: [][]string{{"gunicorn", "--check-config", Args}}, MustValidate: true,
			Proof: Proof{Kind: ProofWorkers}, Linger: 3 * time.Second, BadFile: Exits, NeedsDirectory: true,
			Configuration: &Configuration{Loose: []string{"-c", "--config"}, Comments: "#"},
			Files: []FileRule{
				{Name: "main", Globs: []string{"*.conf.py", "gunicorn.py", "gunicorn_config.py", "gunicorn_conf.py"}, Effect: Reread},
				{
					Name: "script", Globs: []string{"*.py"}, With: "--preload", Effect: AtStart,
					Reason: "with --preload the code is loaded once, by the master",
				},
			},
			NotReread: "settings given on the command line, and code loaded with --preload",
		},
	}
}

func dataAndNames() []Preset {
	return []Preset{
		{
			Name: "postgresql", Processes: []string{"postgres"}, Signal: "HUP",
			// "postgres -C" would need the data directory, and finds nothing that the views do not show.
			SameUser: true, // whom its socket lets in without a password
			Proof:    Proof{Kind: ProofPostgres}, BadFile: Partly,
			NotReread: "parameters of context postmaster (shared_buffers, listen_addresses, …), which wait for a restart",
		},
		{
			Name: "pgbouncer", Processes: []string{"pgbouncer"}, Signal: "HUP",
			SameUser: true, // its console accepts no other user without a password
			Proof:    Proof{Kind: ProofPgbouncer}, BadFile: Partly,
			NotReread: "listen addresses and ports, unix_socket_*, user, pidfile, and others that SHOW CONFIG says cannot change",
		},
		{
			Name: "nats-server", Processes: []string{"nats-server"}, Signal: "HUP", Assured: true,
			Validators: [][]string{{"nats-server", "-t", "{-c=}", "{--c=}", "{-config=}", "{--config=}"}},
			Proof:      Proof{Kind: ProofNATS, URL: "http://127.0.0.1:8222/varz", Field: "config_load_time"}, BadFile: Keeps,
			Configuration: &Configuration{
				Loose: []string{"-c", "--c", "-config", "--config"}, Includes: []string{"include"}, Comments: "#/", Keys: true,
			},
			// It loads certificates while it reads its configuration. Credentials and folders of accounts it reads when it uses them.
			Files:     []FileRule{{Name: "certificate and key", Directives: []string{"cert_file", "key_file", "ca_file"}, Effect: Reread}},
			NotReread: "listen addresses, server and cluster name, and others; the server refuses the whole reload when one of them differs",
		},
		{
			// The signal tables show HUP as unhandled: BIND takes it with sigwait.
			Name: "bind9", Processes: []string{"named"}, Signal: "HUP",
			// -z loads the zones, too: of one that is bad, the server keeps the old content, and takes all others.
			Grammar: new(namedGrammar()), Validators: [][]string{{"named-checkconf", "-z", "{-t=}", "{-c}"}},
			Proof: Proof{Kind: ProofBind}, BadFile: Keeps,
			NotReread: "command line flags",
		},
		{
			Name: "unbound", Processes: []string{"unbound"}, Signal: "HUP",
			// Without its file it goes on with its defaults, and with a bad one it exits.
			Grammar: new(unboundGrammar()), Validators: [][]string{{"unbound-checkconf", "{-c}"}}, MustValidate: true,
			Proof: Proof{Kind: ProofAlive}, Linger: time.Second, BadFile: Exits,
			Files: []FileRule{{
				Name: "certificate and key", Globs: []string{"tls.crt", "tls.key", "*.pem"}, Effect: AtStart,
				Reason: "Unbound 1.17 reads the certificate that it shows its clients only when it starts",
			}},
			NotReread: "interfaces (except with another port), certificate, chroot and user; the cache is emptied",
		},
		{
			Name: "dnsmasq", Processes: []string{"dnsmasq"}, Signal: "HUP",
			Proof: Proof{Kind: ProofDnsmasq}, BadFile: Partly,
			NotReread: "dnsmasq.conf and its includes; only hosts, ethers, dhcp-hosts, dhcp-options, servers and resolv files are re-read",
		},
		{
			Name: "mosquitto", Processes: []string{"mosquitto"}, Signal: "HUP",
			Proof: Proof{Kind: ProofBroker}, BadFile: Partly,
			NotReread: "listeners, bridges, persistence and max_inflight_messages",
		},
	}
}

func observability() []Preset {
	configFile := []string{"--config.file", "-config.file"}
	return []Preset{
		{
			Name: "prometheus", Processes: []string{"prometheus"}, Assured: true, URL: "http://127.0.0.1:9090/-/reload",
			Proof: Proof{
				Kind: ProofMetrics, URL: "http://127.0.0.1:9090/metrics",
				Success: "prometheus_config_last_reload_successful",
				Time:    "prometheus_config_last_reload_success_timestamp_seconds",
			},
			Configuration: &Configuration{
				// The last is where the Helm chart of the Prometheus community has it.
				Loose: configFile, Defaults: []string{"/etc/prometheus/prometheus.yml", "/etc/prometheus/prometheus.yaml", "/etc/config/prometheus.yml"},
				Includes: []string{"scrape_config_files"}, Comments: "#", Keys: true,
			},
			Files: []FileRule{
				{Name: "rules in a nested folder", Directives: []string{"rule_files"}, Effect: Reread},
				{Name: "targets (file_sd) in a nested folder", Directives: []string{"files"}, Effect: AtUse},
			},
			BadFile: KeepsPart, NotReread: "command line flags; the URL needs --web.enable-lifecycle, reload-signal HUP does not",
		},
		{
			Name: "alertmanager", Processes: []string{"alertmanager", "prometheus-alertmanager"}, Assured: true,
			URL: "http://127.0.0.1:9093/-/reload",
			Proof: Proof{
				Kind: ProofMetrics, URL: "http://127.0.0.1:9093/metrics",
				Success: "alertmanager_config_last_reload_successful",
				Time:    "alertmanager_config_last_reload_success_timestamp_seconds",
			},
			Configuration: &Configuration{
				Loose: configFile, Comments: "#", Keys: true,
				Defaults: []string{"/etc/alertmanager/alertmanager.yml", "/etc/alertmanager/alertmanager.yaml", "/etc/prometheus/alertmanager.yml"},
			},
			Files:   []FileRule{{Name: "template in a nested folder", Directives: []string{"templates"}, Effect: Reread}},
			BadFile: Keeps, NotReread: "command line flags",
		},
		{
			Name: "blackbox_exporter", Processes: []string{"blackbox_exporter", "prometheus-blackbox-exporter"}, Assured: true,
			URL: "http://127.0.0.1:9115/-/reload",
			Proof: Proof{
				Kind: ProofMetrics, URL: "http://127.0.0.1:9115/metrics",
				Success: "blackbox_exporter_config_last_reload_successful",
				Time:    "blackbox_exporter_config_last_reload_success_timestamp_seconds",
			},
			Configuration: &Configuration{
				Loose: configFile, Comments: "#", Keys: true,
				Defaults: []string{"/etc/blackbox_exporter/config.yml", "/etc/blackbox_exporter/config.yaml", "/etc/prometheus/blackbox.yml", "/config/blackbox.yaml"},
			},
			BadFile: Keeps, NotReread: "command line flags",
		},
		{
			// Not in Debian; from docs.fluentbit.io (hot reload). Its 200 lies, so the counter is asked.
			Name: "fluent-bit", Processes: []string{"fluent-bit"}, URL: "http://127.0.0.1:2020/api/v2/reload",
			Body: "{}", ContentType: "application/json",
			Proof: Proof{Kind: ProofField, URL: "http://127.0.0.1:2020/api/v2/reload", Field: "hot_reload_count"},
			Configuration: &Configuration{
				Loose: []string{"-c", "--config"}, Includes: []string{"@include", "includes"}, Comments: "#", Keys: true,
				Defaults: []string{
					"/fluent-bit/etc/fluent-bit.conf", "/fluent-bit/etc/fluent-bit.yaml", "/etc/fluent-bit/fluent-bit.conf",
					"/fluent-bit/etc/conf/fluent-bit.conf", // of its Helm chart
				},
			},
			BadFile: Keeps, NotReread: "nothing; needs hot_reload on, or -Y",
		},
		{
			// Not in Debian; from vector.dev (validate, signals).
			Name: "vector", Processes: []string{"vector"}, Signal: "HUP", Assured: true,
			Grammar:    new(vectorGrammar()),
			Validators: [][]string{{"vector", "validate", "--no-environment", Options}}, MustValidate: true,
			Proof: Proof{Kind: ProofAlive}, Linger: 2 * time.Second, BadFile: Exits,
			NotReread: "the data_dir and api options",
		},
	}
}

func refused() []Preset {
	const roll = "; the workload must be rolled instead"
	redis := "it reads redis.conf only when it starts; it ignores HUP, and USR1 kills it" + roll
	mysql := "it reads my.cnf only when it starts; HUP only flushes logs and tables" + roll
	return []Preset{
		{Name: "redis", Refusal: redis},
		{Name: "memcached", Refusal: "it has no configuration file, only arguments" + roll},
		{Name: "mysql", Refusal: mysql},
		{Name: "mariadb", Refusal: mysql},
	}
}
