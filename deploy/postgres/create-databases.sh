#!/bin/sh
# Run once by the postgres image, on an empty volume. A role and a database for each service, and neither gets into the
# other's.
set -eu
: "${ORGANIZATION_DB_PASSWORD:?}" "${LICENSING_DB_PASSWORD:?}"
for service in organization licensing; do
    case $service in
        organization) password=$ORGANIZATION_DB_PASSWORD ;;
        licensing) password=$LICENSING_DB_PASSWORD ;;
    esac
    psql --username "$POSTGRES_USER" --dbname postgres --no-psqlrc --quiet \
        --set ON_ERROR_STOP=1 --set service="$service" --set password="$password" <<'SQL'
CREATE ROLE :"service" LOGIN PASSWORD :'password';
CREATE DATABASE :"service" OWNER :"service";
REVOKE CONNECT ON DATABASE :"service" FROM PUBLIC;
SQL
done
