"""The part of grpcurl that README uses, for machines without it: a call through server reflection."""

import argparse

import grpc
from google.protobuf import descriptor_pool, json_format, message_factory
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

parser = argparse.ArgumentParser()
parser.add_argument("-plaintext", action="store_true", required=True)
parser.add_argument("-d", dest="data", default="{}")
parser.add_argument("address")
parser.add_argument("method")
arguments = parser.parse_args()
service, name = arguments.method.split("/")
with grpc.insecure_channel(arguments.address) as channel:
    pool = descriptor_pool.DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
    method = pool.FindServiceByName(service).FindMethodByName(name)
    asked, given = (message_factory.GetMessageClass(kind) for kind in (method.input_type, method.output_type))
    call = channel.unary_unary(
        f"/{service}/{name}",
        request_serializer=asked.SerializeToString,
        response_deserializer=given.FromString,
    )
    print(json_format.MessageToJson(call(json_format.Parse(arguments.data, asked()), timeout=30)))
