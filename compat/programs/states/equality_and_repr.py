"""What a state looks like."""

from prefect.states import Completed, Failed

print(Completed().is_completed(), Failed(message="m").message, Failed().is_final(), Completed(data=1).data)
