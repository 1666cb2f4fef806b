"""The checks by which the database itself refuses impossible values are those of the models."""

from sqlalchemy import CheckConstraint, Engine, inspect

from db.models.base import Base


def test_models_and_migrations_agree_on_check_constraints(engine: Engine) -> None:
    """Alembic does not compare check constraints. Databases reword their SQL, so this test compares their names."""
    inspector = inspect(engine)
    for table in Base.metadata.sorted_tables:
        wanted = {str(each.name) for each in table.constraints if isinstance(each, CheckConstraint)}
        assert {each["name"] for each in inspector.get_check_constraints(table.name)} == wanted
