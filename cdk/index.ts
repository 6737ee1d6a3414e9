// What `import … from 'overpool-cloud/cdk'` gives. It needs aws-cdk-lib, cdk-nag and constructs beside the package.
export { type OverpoolApp, overpoolApp } from './overpool-app.ts'
export { type Program, readProgram } from './read.ts'
export { OverpoolStack, type OverpoolStackProps } from './stack.ts'
