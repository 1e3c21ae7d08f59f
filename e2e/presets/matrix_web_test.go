//go:build presets

package presets

// webApps are the web servers of the matrix.
func webApps() []app {
	return []app{
		nginxApp(), haproxyApp(), apacheApp(), caddyApp(), squidApp(), phpApp(), uwsgiApp(), gunicornApp(), gunicornPreloads(),
	}
}
