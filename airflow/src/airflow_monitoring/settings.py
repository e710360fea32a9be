"""The listener's settings from the environment of Airflow's processes."""

from typing import Annotated

from pydantic import Field, SecretStr

from contracts.access import Token
from monitoring import MonitoringSettings


class ListenerSettings(MonitoringSettings):
    """Where reports are sent, and which values of this environment they must not contain."""

    airflow_fernet_key: Annotated[
        SecretStr | None,
        Field(validation_alias="AIRFLOW__CORE__FERNET_KEY", description="Key that encrypts Airflow's connections"),
    ] = None
    airflow_api_secret_key: Annotated[
        SecretStr | None,
        Field(validation_alias="AIRFLOW__API__SECRET_KEY", description="Key that signs Airflow's sessions"),
    ] = None
    airflow_jwt_secret: Annotated[
        SecretStr | None,
        Field(validation_alias="AIRFLOW__API_AUTH__JWT_SECRET", description="Key that signs Airflow's tokens"),
    ] = None
    registry_ci_token: Annotated[Token | None, Field(description="Token of the model registry for the tasks")] = None
    registry_token: Annotated[Token | None, Field(description="The same, of an earlier release")] = None
    admin_token: Annotated[Token | None, Field(description="Token of feature-sync for the tasks")] = None

    def secrets(self) -> list[str]:
        """Return the values that must never be sent or logged."""
        values = (
            self.airflow_fernet_key,
            self.airflow_api_secret_key,
            self.airflow_jwt_secret,
            self.registry_ci_token,
            self.registry_token,
            self.admin_token,
        )
        return [*super().secrets(), *(value.get_secret_value() for value in values if value is not None)]
