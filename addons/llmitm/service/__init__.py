"""Running for months under a service manager: systemd, launchd, Windows."""
