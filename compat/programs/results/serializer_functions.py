"""A serializer used by itself."""

from prefect.serializers import JSONSerializer, PickleSerializer

for s in (JSONSerializer(), PickleSerializer()):
    print(s.type, s.loads(s.dumps({"a": 1})))
