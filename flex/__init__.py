"""How it is plugged together: settings, urls, jobs and the way in. It imports the apps; no app imports it."""
