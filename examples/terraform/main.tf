# The Invoices API as a REST API, deployed by Terraform from the document of examples/invoices-openapi. README.md says how.

terraform {
  required_version = ">= 1.5"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.0"
    }
  }
}

variable "rekey_stack" {
  description = "Name of Rekey's stack, in this account and Region"
  type        = string
  default     = "Rekey"
}

variable "invoices_zip" {
  description = "Path of the bundled handler: index.mjs of examples/invoices-openapi/invoices.ts"
  type        = string
}

data "aws_region" "current" {}
data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}

# What Rekey's stack publishes.
data "aws_ssm_parameter" "authorizer" {
  name = "/rekey/${var.rekey_stack}/authorizer-function-arn"
}

data "aws_ssm_parameter" "register_routes" {
  name = "/rekey/${var.rekey_stack}/register-routes-function-arn"
}

locals {
  stage     = "v1"
  functions = "arn:${data.aws_partition.current.partition}:apigateway:${data.aws_region.current.name}:lambda:path/2015-03-31/functions"
  api_arn   = "arn:${data.aws_partition.current.partition}:execute-api:${data.aws_region.current.name}:${data.aws_caller_identity.current.account_id}:${aws_api_gateway_rest_api.invoices.id}"
  # Hash and Routes, made by rekey-openapi.
  registration = jsondecode(file("${path.module}/invoices.registration.json"))
  # Made by rekey-openapi.
  document = templatefile("${path.module}/invoices.protected.json", {
    authorizer_uri = "${local.functions}/${nonsensitive(data.aws_ssm_parameter.authorizer.value)}/invocations"
    invoices_uri   = aws_lambda_function.invoices.invoke_arn
  })
}

resource "aws_iam_role" "invoices" {
  name_prefix = "invoices-"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "lambda.amazonaws.com" }
    }]
  })
}

resource "aws_iam_role_policy_attachment" "invoices_logs" {
  role       = aws_iam_role.invoices.name
  policy_arn = "arn:${data.aws_partition.current.partition}:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"
}

resource "aws_lambda_function" "invoices" {
  function_name    = "invoices"
  role             = aws_iam_role.invoices.arn
  runtime          = "nodejs24.x"
  architectures    = ["arm64"]
  handler          = "index.handler"
  filename         = var.invoices_zip
  source_code_hash = filebase64sha256(var.invoices_zip)
}

resource "aws_api_gateway_rest_api" "invoices" {
  name = "invoices"
  body = local.document
  endpoint_configuration {
    types = ["REGIONAL"]
  }
}

resource "aws_lambda_permission" "authorizer" {
  action        = "lambda:InvokeFunction"
  function_name = nonsensitive(data.aws_ssm_parameter.authorizer.value)
  principal     = "apigateway.amazonaws.com"
  source_arn    = "${local.api_arn}/authorizers/*"
}

resource "aws_lambda_permission" "invoices" {
  action        = "lambda:InvokeFunction"
  function_name = aws_lambda_function.invoices.function_name
  principal     = "apigateway.amazonaws.com"
  source_arn    = "${local.api_arn}/${local.stage}/*"
}

# Rekey registers routes for CloudFormation. A stack that is nothing else gives Terraform the same: the table is there
# before the stage names it, a bad one fails the apply with its reason, and destroy gives it up.
resource "aws_cloudformation_stack" "routes" {
  name = "invoices-rekey-routes"
  template_body = jsonencode({
    Resources = {
      Routes = {
        Type = "Custom::RekeyRoutes"
        Properties = merge(local.registration, {
          ServiceToken = nonsensitive(data.aws_ssm_parameter.register_routes.value)
          RestApiId    = aws_api_gateway_rest_api.invoices.id
        })
      }
    }
    Outputs = {
      # The physical id is routes_<API id>/<hash>.
      Hash = { Value = { "Fn::Select" = [1, { "Fn::Split" = ["/", { Ref = "Routes" }] }] } }
    }
  })
}

resource "aws_api_gateway_deployment" "invoices" {
  rest_api_id = aws_api_gateway_rest_api.invoices.id
  triggers    = { document = sha256(local.document) }
  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_api_gateway_stage" "v1" {
  rest_api_id   = aws_api_gateway_rest_api.invoices.id
  deployment_id = aws_api_gateway_deployment.invoices.id
  stage_name    = local.stage
  variables = {
    rekeyRoutes = aws_cloudformation_stack.routes.outputs["Hash"]
  }
}

output "url" {
  value = aws_api_gateway_stage.v1.invoke_url
}
