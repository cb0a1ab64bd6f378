-- name: login
-- The login of people and programs: it owns the hub, makes databases, sees and ends sessions, and is no superuser. One statement a line.
create role hub login createdb
grant pg_signal_backend to hub
grant pg_read_all_stats to hub with admin option
create database hub owner hub

-- name: since_16
-- It makes roles, and takes those that it made.
alter role hub createrole
alter role hub set createrole_self_grant = 'set, inherit'

-- name: before_16
-- Who makes roles could grant himself the right to run programs on the machine, so those of the hub are made for it.
create role replicator_owner
create role replicator_daemon
create role replicator_reader
create role replicator_steward
grant replicator_owner, replicator_daemon, replicator_reader, replicator_steward to hub with admin option
