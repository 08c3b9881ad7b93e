"""Triggers of django-pgtrigger that can't be switched off by `pgtrigger.ignore`.

That switch is read in each call, in a block that catches the error of its not being set. Each such error rolls a
subtransaction back, which makes PostgreSQL walk over every deferred trigger event of the transaction: measured, 50,000
rows inserted in one statement took 20 s, nearly all of it there. Nor should a guard have a switch.
"""

import pgtrigger
from django.db import models
from pgtrigger import compiler


class UnconditionalTriggerSql(compiler.UpsertTriggerSql):
    """Named in migrations: a change to the template needs a class of its own."""

    def get_template(self) -> str:
        return """
            CREATE OR REPLACE FUNCTION {pgid}()
            RETURNS TRIGGER AS $$
                {declare}
                BEGIN
                    {func}
                END;
            $$ LANGUAGE plpgsql;

            DROP TRIGGER IF EXISTS {pgid} ON {table};
            CREATE {constraint} TRIGGER {pgid}
                {when} {operation} ON {table}
                {timing}
                {referencing}
                FOR EACH {level} {condition}
                EXECUTE PROCEDURE {execute};

            COMMENT ON TRIGGER {pgid} ON {table} IS '{hash}';
        """


class UnconditionalTrigger(pgtrigger.Trigger):
    """The base of this package's triggers."""

    def render_func(self, model: type[models.Model]) -> str:  # type: ignore[override]
        """Without indentation, so that laying out the source anew asks for no migration."""
        lines = super().render_func(model).splitlines()  # type: ignore[arg-type]
        return "\n".join(line.strip() for line in lines if line.strip())

    def compile(self, model: type[models.Model]) -> compiler.Trigger:  # type: ignore[override]
        compiled = super().compile(model)  # type: ignore[arg-type]
        return compiler.Trigger(name=compiled.name, sql=UnconditionalTriggerSql(**compiled.sql.kwargs))
