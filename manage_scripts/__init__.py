"""The commands of this project: `commands` are the verbs; `stack` starts the servers and services they need."""
