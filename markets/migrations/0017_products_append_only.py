from django.conf import settings
from django.db import migrations

# Runs as the owner, whom no row policy binds: a version counts as used whoever asks.
FUNCTION = """
CREATE FUNCTION markets_keep_used_product() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp AS $function$
BEGIN
    IF EXISTS (SELECT 1 FROM markets_flexevent WHERE product_id = OLD.id)
        OR EXISTS (SELECT 1 FROM markets_market WHERE product_id = OLD.id)
        OR EXISTS (SELECT 1 FROM markets_product WHERE supersedes_id = OLD.id)
    THEN
        RAISE EXCEPTION 'product % v% is in use: a change of it is a new version', OLD.code, OLD.version
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END
$function$
"""
TRIGGER = """
CREATE TRIGGER keep_used_product BEFORE UPDATE OR DELETE ON markets_product
FOR EACH ROW EXECUTE FUNCTION markets_keep_used_product()
"""


def make_append_only(_apps, schema_editor):
    """A version stays as it was stated: the application only adds one, and the owner changes none that is in use."""
    role = schema_editor.quote_name(settings.DATABASE_APP_ROLE)
    schema_editor.execute(FUNCTION, params=None)
    schema_editor.execute(TRIGGER, params=None)
    schema_editor.execute(f"REVOKE UPDATE, DELETE ON markets_product FROM {role}")


def allow_changes(_apps, schema_editor):
    role = schema_editor.quote_name(settings.DATABASE_APP_ROLE)
    schema_editor.execute("DROP TRIGGER keep_used_product ON markets_product", params=None)
    schema_editor.execute("DROP FUNCTION markets_keep_used_product()", params=None)
    schema_editor.execute(f"GRANT UPDATE, DELETE ON markets_product TO {role}")


class Migration(migrations.Migration):
    dependencies = [("markets", "0016_settled_days")]
    operations = [migrations.RunPython(make_append_only, allow_changes)]
